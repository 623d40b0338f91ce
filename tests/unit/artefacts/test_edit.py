"""Single values of a YAML file change, and nothing else of it does."""

from __future__ import annotations

import pytest

from gridtie.artefacts.edit import EditError, set_value, sort_children

TEXT = """\
# The head.
one:
  version: "1.0"  # why
  parts:
    # About b.
    b:
      sha256: null
    a: {sha256: null}
two:
  version: 2
"""


def test_a_value_changes_where_the_path_leads_and_its_comment_stays() -> None:
    assert set_value(TEXT, ("one", "version"), '"1.1"') == TEXT.replace('"1.0"', '"1.1"')
    assert set_value(TEXT, ("two", "version"), "3") == TEXT.replace("version: 2", "version: 3")
    assert set_value(TEXT, ("one", "parts", "b", "sha256"), "ff") == TEXT.replace(
        "      sha256: null", "      sha256: ff"
    )


@pytest.mark.parametrize(
    "path", [("three",), ("one", "sha256"), ("one", "parts"), ("one", "parts", "a"), ("one", "parts", "a", "sha256")]
)
def test_what_is_not_there_or_no_plain_value_is_refused(path: tuple[str, ...]) -> None:
    with pytest.raises(EditError, match=path[-1] if path != ("one", "parts", "a") else "a"):
        set_value(TEXT, path, "x")


def test_a_key_that_comes_twice_is_refused() -> None:
    with pytest.raises(EditError, match="more than once"):
        set_value(TEXT + "two:\n  version: 3\n", ("two", "version"), "4")


def test_entries_are_sorted_with_the_comments_above_them() -> None:
    assert sort_children(TEXT, ("one", "parts")) == (
        '# The head.\none:\n  version: "1.0"  # why\n  parts:\n    a: {sha256: null}\n    # About b.\n    b:\n'
        "      sha256: null\ntwo:\n  version: 2\n"
    )


def test_sorting_what_is_sorted_changes_nothing() -> None:
    once = sort_children(TEXT, ("one", "parts"))

    assert sort_children(once, ("one", "parts")) == once
