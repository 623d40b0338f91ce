"""Settings get into files that people keep, and out of them again."""

from __future__ import annotations

import json
import tomllib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gridtie.host.connect import clients, marked
from gridtie.host.connect.formats import Json, Lines, Variables, YamlList
from gridtie.host.connect.marked import CannotEdit
from gridtie.host.connect.wiring import Wiring

WIRING = Wiring("http://127.0.0.1:8484", "gt-secret", "coder", 32768)
CODEX = Lines(clients._codex_head, clients._codex_tail, ("model", "model_provider", "model_context_window"), "=")
CONTINUE = YamlList("models", clients._continue, ("name: Local", "version: 1.0.0", "schema: v1"))
OPENCODE = Json(clients._opencode)
LINES = st.lists(st.sampled_from(["model = 'x'", "[a]", "b = 1", "", "# note", 'model_provider="y"', "models: 3"]))


def test_a_new_toml_file_says_what_was_wanted() -> None:
    said = tomllib.loads(CODEX.put_in("", WIRING))

    assert (said["model"], said["model_provider"]) == ("coder", "gridtie")
    assert said["model_providers"]["gridtie"]["base_url"] == "http://127.0.0.1:8484/v1"


def test_what_contradicts_is_set_aside_at_the_top_level_alone() -> None:
    text = 'model = "gpt"\n\n[profiles.work]\nmodel = "other"\n'

    said = tomllib.loads(CODEX.put_in(text, WIRING))

    assert said["model"] == "coder"
    assert said["profiles"]["work"]["model"] == "other"


@given(LINES)
def test_lines_that_were_there_come_back_byte_for_byte(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)

    assert marked.without(CODEX.put_in(text, WIRING)) == text


@given(LINES)
def test_putting_in_twice_is_putting_in_once(lines: list[str]) -> None:
    once = CODEX.put_in("".join(f"{line}\n" for line in lines), WIRING)

    assert CODEX.put_in(once, WIRING) == once


def test_lines_that_a_person_added_afterwards_stay() -> None:
    written = CODEX.put_in('model = "gpt"\n', WIRING) + '[mine]\na = "b"\n'

    assert CODEX.take_out(written, WIRING, "") == 'model = "gpt"\n[mine]\na = "b"\n'


def test_a_last_line_without_an_end_is_refused() -> None:
    with pytest.raises(CannotEdit, match="line end"):
        CODEX.put_in('model = "gpt"', WIRING)


def test_a_block_whose_end_is_gone_is_refused() -> None:
    with pytest.raises(CannotEdit, match="by hand"):
        marked.without(f"a\n{marked.BEGIN}\nb\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "models:\n  - name: mine\n    provider: ollama\n    model: x\n",
        "name: a\nmodels: # those I use\n- name: mine\n  provider: ollama\n  model: x\nrules: []\n",
        "name: a\nrules:\n  - b\n",
    ],
    ids=["none", "indented", "not indented", "no models"],
)
def test_a_model_is_the_first_of_the_list_and_all_others_stay(text: str) -> None:
    before = yaml.safe_load(text) or {}

    after = yaml.safe_load(CONTINUE.put_in(text, WIRING))

    assert after["models"][0]["apiBase"] == "http://127.0.0.1:8484/v1"
    assert after["models"][1:] == before.get("models", [])
    assert {name: value for name, value in after.items() if name != "models"}.items() >= {
        name: value for name, value in before.items() if name != "models"
    }.items()
    assert not text or marked.without(CONTINUE.put_in(text, WIRING)) == text


@pytest.mark.parametrize("text", ["models: [{name: a}]\n", "models:\n  a: b\n"])
def test_a_list_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(CannotEdit, match="by hand"):
        CONTINUE.put_in(text, WIRING)


def test_json_is_merged_and_keeps_its_order_and_indent() -> None:
    text = '{\n    "theme": "dark",\n    "provider": {"mine": {"npm": "x"}},\n    "model": "a/b"\n}\n'

    after = OPENCODE.put_in(text, WIRING)

    said = json.loads(after)
    assert list(said) == ["theme", "provider", "model", "$schema"]
    assert set(said["provider"]) == {"mine", "gridtie"}
    assert said["model"] == "gridtie/coder"
    assert '\n    "theme"' in after


def test_of_json_that_was_changed_afterwards_only_ours_is_taken_out() -> None:
    before = '{"model": "a/b"}'
    later = json.loads(OPENCODE.put_in(before, WIRING)) | {"theme": "light"}

    left = json.loads(OPENCODE.take_out(json.dumps(later), WIRING, before))

    assert left == {"model": "a/b", "theme": "light"}


def test_a_value_that_a_person_set_after_ours_stays() -> None:
    later = json.loads(OPENCODE.put_in("", WIRING)) | {"model": "their/own"}

    assert json.loads(OPENCODE.take_out(json.dumps(later), WIRING, "")) == {"model": "their/own"}


@pytest.mark.parametrize("text", ["// mine\n{}", "[]", "{"])
def test_json_that_is_no_plain_object_is_refused(text: str) -> None:
    with pytest.raises(CannotEdit):
        OPENCODE.put_in(text, WIRING)


def test_variables_are_exported() -> None:
    assert Variables(clients._ollama).put_in("", WIRING) == (
        "export OLLAMA_HOST=http://127.0.0.1:8484\nexport OLLAMA_API_KEY=gt-secret\n"
    )
