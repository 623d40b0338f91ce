"""Settings get into files that people keep, and out of them again."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from gridtie.host.connect import clients, marked
from gridtie.host.connect.formats import Format, Json, Variables
from gridtie.host.connect.marked import CannotEdit
from gridtie.host.connect.wiring import Wiring

WIRING = Wiring("http://127.0.0.1:8484", "gt-secret", "coder", 32768)
HOME = Path("/home/somebody")
CODEX, CONTINUE, AIDER, CLAUDE = (
    clients.BY_NAME[name].files(HOME, {})[0][1] for name in ("codex", "continue", "aider", "claude-code")
)
LLM = clients.BY_NAME["llm"].files(HOME, {})[1][1]
OPENCODE = Json(clients._opencode)
LINES = st.lists(
    st.sampled_from(
        ["model = 'x'", "[a]", "b = 1", "", "# note", 'model_provider="y"', "  'model' = '[a]'", "c = [", "  [1],", "]",
         'd = """', '"""', 'e = "\u2028model = 1"', "[model_providers.gridtie]", "[model_providers]",
         "gridtie.name = 1",
         "model_providers.gridtie.wire_api = 2", "[model_providers.mine]", "[[f]]", 'model_providers.mine.name = 1',
         "profile = 'work'", "g.model = 3"]
    )
)  # fmt: skip


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
def test_toml_is_toml_afterwards_says_ours_and_comes_back_byte_for_byte(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)

    written = CODEX.put_in(text, WIRING)

    said = tomllib.loads(written)
    assert (said["model"], said["model_provider"], said.get("profile")) == ("coder", "gridtie", None)
    assert said["model_providers"].pop("gridtie")["name"] == "Gridtie"
    before.get("model_providers", {}).pop("gridtie", None)
    for gone in ("model", "model_provider", "model_context_window", "profile"):
        said.pop(gone, None)
        before.pop(gone, None)
    assert said == {"model_providers": {}} | before
    assert marked.without(written) == text
    assert CODEX.put_in(written, WIRING) == written


@pytest.mark.parametrize(
    "text",
    [
        'notify = [\n  ["a"],\n]\nmodel = "gpt"\n',
        'a = """\n[x]\nmodel = 1\n"""\nmodel = """\nof several\nlines"""\n',
        '  model = "gpt"\n"model_provider" = "x"\n',
        '[model_providers.gridtie]\nname = "mine"\n\n[model_providers.gridtie.http_headers]\na = "b"\n\n[tui]\nc = 1\n',
        "[model_providers]\ngridtie = { name = 'mine' }\nother = { name = 'o' }\n",
        'model = "gpt"\r\n\r\n[tui]\r\na = 1\r\n',
        'model = "gpt"',
        "a = 'it is\u2028model = 1'\n",
    ],
)
def test_what_people_write_in_toml_stays_and_ours_counts(text: str) -> None:
    written = CODEX.put_in(text, WIRING)

    said = tomllib.loads(written)
    assert (said["model"], said["model_providers"]["gridtie"]["name"]) == ("coder", "Gridtie")
    ours = {"model", "model_provider", "model_context_window", "model_providers"}
    assert {name: said[name] for name in said.keys() - ours} == {
        name: value for name, value in tomllib.loads(text).items() if name not in ours
    }
    assert marked.without(written).rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize("text", ["model_providers = { x = { name = 'y' } }\n", "a = [\n", 'a = "b\n', 'a = """\n'])
def test_toml_that_would_not_be_toml_afterwards_is_refused(text: str) -> None:
    with pytest.raises(CannotEdit):
        CODEX.put_in(text, WIRING)


def test_what_a_program_wrote_between_the_marks_stays() -> None:
    """Codex puts what it adds behind the last setting, in front of the comment that ends ours."""
    written = CODEX.put_in('model = "gpt"\n', WIRING)
    lines = written.replace('model = "coder"', 'model = "o9"').splitlines(keepends=True)
    lines[-1:-1] = ['[projects."/src"]\n', 'trust_level = "trusted"\n']
    lines[lines.index(f"{marked.END}\n") : lines.index(f"{marked.END}\n")] = ["hide_nudge = true\n"]

    left = CODEX.take_out("".join(lines), WIRING, "")

    assert tomllib.loads(left) == {
        "hide_nudge": True, "model": "gpt", "projects": {"/src": {"trust_level": "trusted"}}
    }  # fmt: skip


def test_lines_that_a_person_added_afterwards_stay() -> None:
    written = CODEX.put_in('model = "gpt"\n', WIRING) + '[mine]\na = "b"\n'

    assert CODEX.take_out(written, WIRING, "") == 'model = "gpt"\n[mine]\na = "b"\n'


@pytest.mark.parametrize("form", [CODEX, CONTINUE, AIDER, LLM])
def test_a_byte_order_mark_is_refused(form: Format) -> None:
    with pytest.raises(CannotEdit, match="byte-order"):
        form.put_in("\ufeff# mine\n", WIRING)


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
        "---\nname: a\nmodels:\n\n    # mine\n    - &m\n      name: mine\n    - <<: *m\n      model: x\nrules: [*m]\n",
        "name: a\nmodels:\n    -\n        name: mine\n",
        "name: a\r\nmodels:\r\n  - name: mine\r\n",
        "name: a\nmodels:\nrules: []\n",
    ],
    ids=["none", "indented", "not indented", "no models", "anchors", "alone", "crlf", "empty"],
)
def test_a_model_is_the_first_of_the_list_and_all_others_stay(text: str) -> None:
    before = yaml.safe_load(text) or {}

    after = yaml.safe_load(CONTINUE.put_in(text, WIRING))

    assert after["models"][0]["apiBase"] == "http://127.0.0.1:8484/v1"
    assert after["models"][1:] == (before.get("models") or [])
    assert {name: value for name, value in after.items() if name != "models"}.items() >= {
        name: value for name, value in before.items() if name != "models"
    }.items()
    assert not text or marked.without(CONTINUE.put_in(text, WIRING)) == text


@pytest.mark.parametrize(
    "text",
    [
        "models: [{name: a}]\n",
        "models:\n  a: b\n",
        '"models":\n  - name: a\n',
        "{name: a}\n",
        "name: a\n---\nname: b\n",
        "name: a\n...\n",
        "  name: a\n",
    ],
)
def test_a_list_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(CannotEdit, match="by hand"):
        CONTINUE.put_in(text, WIRING)


def test_a_model_that_a_person_added_to_our_list_keeps_its_list() -> None:
    written = CONTINUE.put_in("name: a\n", WIRING) + "  - name: mine\n"

    assert yaml.safe_load(CONTINUE.take_out(written, WIRING, "name: a\n")) == {
        "name": "a",
        "models": [{"name": "mine"}],
    }


@pytest.mark.parametrize(
    "text",
    [
        "---\nmodel: x\ndark-mode: true\n",
        "model:\n  x\nopenai-api-key: >-\n  sk\n\n  more\ndark-mode: true\n",
        '"model": x\ndark-mode: true\n',
        "alias:\n- model: inner\ndark-mode: true",
    ],
    ids=["opened", "several lines", "quoted", "inner"],
)
def test_yaml_settings_that_say_otherwise_are_set_aside_whole(text: str) -> None:
    written = AIDER.put_in(text, WIRING)

    said = yaml.safe_load(written)
    assert (said["model"], said["openai-api-key"], said["dark-mode"]) == ("openai/coder", "gt-secret", True)
    assert said.get("alias") == yaml.safe_load(text).get("alias")
    assert marked.without(written).rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (AIDER, "%YAML 1.2\n---\nmodel: x\n"),
        (AIDER, "{model: x}\n"),
        (AIDER, "model: &m x\nweak-model: *m\n"),
        (LLM, "  - model_id: x\n"),
        (LLM, "[]\n"),
    ],
)
def test_yaml_that_would_say_something_else_afterwards_is_refused(form: Format, text: str) -> None:
    with pytest.raises(CannotEdit, match="by hand"):
        form.put_in(text, WIRING)


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


@pytest.mark.parametrize(
    "before", ["", '{"version": 1, "providers": {"openai-compatible": {"settings": {"apiKey": "theirs"}}}}']
)
def test_what_a_program_added_to_our_own_entry_goes_with_it(before: str) -> None:
    """Cline writes the time of its last change into the entry, which is of no use without a key."""
    form = clients.BY_NAME["cline"].files(HOME, {})[0][1]
    later = json.loads(form.put_in(before, WIRING))
    later["providers"]["openai-compatible"]["updatedAt"] = "later"

    assert json.loads(form.take_out(json.dumps(later), WIRING, before)) == json.loads(before or "{}")


def test_an_entry_of_our_name_that_a_person_made_theirs_stays() -> None:
    form = clients.BY_NAME["cline"].files(HOME, {})[0][1]
    later = json.loads(form.put_in("", WIRING))
    later["providers"]["openai-compatible"]["settings"] |= {"apiKey": "theirs", "baseUrl": "https://their.example"}

    settings = json.loads(form.take_out(json.dumps(later), WIRING, ""))["providers"]["openai-compatible"]["settings"]

    assert (settings["apiKey"], settings["baseUrl"]) == ("theirs", "https://their.example")


def test_a_value_that_a_person_set_after_ours_stays() -> None:
    later = json.loads(OPENCODE.put_in("", WIRING)) | {"model": "their/own"}

    assert json.loads(OPENCODE.take_out(json.dumps(later), WIRING, "")) == {"model": "their/own"}


@pytest.mark.parametrize(
    "text", ["// mine\n{}", "[]", "{", '{"a": 1, "a": 2}', '{"provider": "mine"}', '{"provider": null}']
)
def test_json_that_is_no_plain_object_is_refused(text: str) -> None:
    with pytest.raises(CannotEdit):
        OPENCODE.put_in(text, WIRING)


@pytest.mark.parametrize(
    "text",
    ['{\r\n  "theme": "dark"\r\n}\r\n', '{\n  "name": "\\u00e9"\n}\n', '{\n  "half": "\\ud83d é"\n}\n'],
    ids=["line ends", "escapes", "half a pair"],
)
def test_json_is_written_as_it_was(text: str) -> None:
    after = OPENCODE.put_in(text, WIRING)

    after.encode()
    assert OPENCODE.take_out(after, WIRING, text) in (text, json.dumps(json.loads(text), indent=2) + "\n")
    assert ("\r\n" in after) == ("\r\n" in text)


def test_of_variables_that_were_changed_afterwards_only_ours_are_taken_out() -> None:
    form = Variables(clients._ollama)

    mine = "# mine\n\nexport MINE=1\n8484\n"
    assert form.take_out(form.put_in("", WIRING) + mine, WIRING, "") == mine


def test_variables_are_exported() -> None:
    assert Variables(clients._ollama).put_in("", WIRING) == (
        "export OLLAMA_HOST=http://127.0.0.1:8484\nexport OLLAMA_API_BASE=http://127.0.0.1:8484\n"
        "export OLLAMA_API_KEY=gt-secret\n"
    )
