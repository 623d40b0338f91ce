"""docs/testing.md names tests for what went wrong elsewhere; those tests are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## What went wrong elsewhere")[2].partition("\n## ")[0]
ROWS = [line for line in SECTION.splitlines() if line.startswith("| ")][1:]
NAMED = sorted(set(re.findall(r"`(tests/[\w/.-]+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_page_names_is_there(file: str, name: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")

    assert re.search(rf"^\s*def {name}\(" if name else "def test_", text, re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip()[:60] for row in ROWS])
def test_everything_that_went_wrong_has_its_test(row: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py(::\w+)?`", row.rsplit("|", 2)[1])
