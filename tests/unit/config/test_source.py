"""YAML text becomes plain data with lines, and nothing that could surprise."""

from __future__ import annotations

import pytest

from gridtie.config import source
from gridtie.config.problems import ConfigError, Problem


def problems(text: str | bytes) -> list[str]:
    raw = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigError) as caught:
        source.parse(raw, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_every_key_and_item_keeps_its_line() -> None:
    found = source.parse(b"a:\n  b: 1\n  c:\n    - x\n    - y\n", "f.yaml")

    assert {("a",): 1, ("a", "b"): 2, ("a", "c", 1): 5}.items() <= found.lines.items()


def test_a_problem_is_located_at_its_key_or_the_nearest_above() -> None:
    found = source.parse(b"a:\n  b: 1\n", "f.yaml")

    assert str(found.locate(Problem(path=("a", "b", "missing"), what="wrong"))) == "f.yaml:2: a.b.missing: wrong"


def test_keys_are_text_even_where_yaml_would_make_them_something_else() -> None:
    assert source.parse(b"on: 1\n1: 2\nnull: 3\n", "f.yaml").data == {"on": 1, "1": 2, "null": 3}


def test_a_date_stays_the_text_that_was_written() -> None:
    assert source.parse(b"day: 2026-11-22\n", "f.yaml").data == {"day": "2026-11-22"}


def test_an_empty_file_is_an_empty_mapping() -> None:
    assert source.parse(b"# nothing\n", "f.yaml").data == {}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: the key is already given in line 1", id="repeated key"),
        pytest.param("a:\n\tb: 1\n", "f.yaml:2: a tab where YAML wants spaces", id="tab"),
        pytest.param(
            "a: 1\n<<<<<<< Updated\nb: 1\n=======\nb: 2\n>>>>>>> Stashed\n", "f.yaml:2: git could not", id="merge"
        ),
        pytest.param("a: [1, 2\nb: 1\n", "f.yaml:2: not YAML", id="open bracket"),
        pytest.param("a: !!python/object:os.system x\n", "f.yaml:1: a: the tag", id="tag"),
        pytest.param("a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:3: c: merge keys", id="merge key"),
        pytest.param("? [1, 2]\n: 3\n", "f.yaml:1: a key must be plain text", id="list as key"),
        pytest.param(b"a: 1\nb: \xff\n", "f.yaml:2: not UTF-8", id="latin-1"),
        pytest.param("a: 1\n---\nb: 2\n", "not YAML: expected a single document", id="two documents"),
        pytest.param("a: !!int x\n", "f.yaml:1: a: 'x' is not a value", id="wrong scalar"),
        pytest.param("a: &a [*a]\n", "nested deeper than", id="alias to itself"),
        pytest.param("[" * 1000, "nested deeper than", id="brackets without end"),
        pytest.param("#" * (source.MAX_BYTES + 1), "larger than 1024 KiB", id="too large"),
    ],
)
def test_what_cannot_be_meant_is_named_with_its_line(text: str | bytes, wanted: str) -> None:
    assert wanted in problems(text)[0]


def test_aliases_cannot_grow_a_small_file_into_a_large_one() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]

    assert "once aliases are followed" in problems("\n".join(levels))[0]


def test_two_repeated_keys_are_both_named() -> None:
    assert len(problems("a: 1\na: 2\nb: 1\nb: 2\n")) == 2


def test_a_missing_file_is_a_problem_with_its_name(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        source.read_bytes(tmp_path / "nowhere.yaml")
