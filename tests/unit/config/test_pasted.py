"""Files as people send, save and copy them: taken where nothing is lost, else told with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.config.load import parse
from gridtie.config.problems import ConfigError

SHIPPED = (Path(__file__).parents[3] / "config" / "llm_routing.yaml").read_bytes()

LITELLM = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o
      api_base: https://x.openai.azure.com/
      api_key: os.environ/AZURE_API_KEY
litellm_settings:
  drop_params: true
"""


def complaints(raw: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(raw if isinstance(raw, bytes) else raw.encode(), "r.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    "raw", [b"\xef\xbb\xbf" + SHIPPED, SHIPPED.replace(b"\n", b"\r\n"), SHIPPED.rstrip(), SHIPPED + b"...\n"]
)
def test_marks_and_line_ends_of_an_editor_change_nothing(raw: bytes) -> None:
    assert parse(raw, "r.yaml").routing == parse(SHIPPED, "r.yaml").routing


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (SHIPPED.decode().encode("utf-16"), "not UTF-8 text; save it as UTF-8"),
        (SHIPPED.decode().encode("utf-16-le"), "r.yaml:1: not UTF-8 text; save it as UTF-8"),
        ("version: 1\nlimits:\n\tattempts: 1\n", "r.yaml:3: a tab where YAML wants spaces; indent with spaces"),
        ("version: 1\nversion: 1\n", "r.yaml:2: version: the key is already given in line 1; keep one of the two"),
        ("a: &a {b: 1}\nlimits:\n  <<: *a\n", "merge keys (<<) are not supported; write the keys out"),
        ("version: !vault x\n", "the tag !vault is not known here; write a plain value"),
        ("version: !geheim x\n", "a tag (a value that begins with !) is not known here"),
        ("version: {{ routing_version }}\n", "a key must be plain text"),
        (LITELLM, "r.yaml:7: litellm_settings: unknown key; allowed here: version, providers"),
        (LITELLM, 'the key "rules" is missing'),
        ("- a\n- b\n", "found a list, wanted a mapping"),
        ("just text\n", "found 'just text', wanted a mapping"),
        ("", 'the key "version" is missing'),
        ("a: \x07\n", "r.yaml:1: not YAML: it holds a control character; remove it"),
        ("a: !!bool x\n", "r.yaml:1: a: 'x' is not a value that YAML can read"),
        ("a: !!timestamp x\n", "r.yaml:1: a: 'x' is not a value that YAML can read"),
        ("a: !!int ''\n", "r.yaml:1: a: '' is not a value that YAML can read"),
        ("a: *nowhere\n", "r.yaml:1: not YAML: found undefined alias"),
    ],
)
def test_what_cannot_be_taken_is_told_with_its_remedy(raw: str | bytes, says: str) -> None:
    found = complaints(raw)

    assert says in found
    assert "codec" not in found
    assert "geheim" not in found


@given(st.binary(max_size=200))
def test_any_bytes_are_a_routing_file_or_a_list_of_problems(raw: bytes) -> None:
    try:
        parse(raw, "r.yaml")
    except ConfigError as error:
        assert error.problems


@given(st.integers(0, len(SHIPPED) - 1), st.binary(max_size=6), st.integers(0, 40))
def test_a_slip_anywhere_in_a_good_file_is_a_good_file_or_a_list_of_problems(at: int, what: bytes, cut: int) -> None:
    test_any = SHIPPED[:at] + what + SHIPPED[at + cut :]
    try:
        parse(test_any, "r.yaml")
    except ConfigError as error:
        assert error.problems
