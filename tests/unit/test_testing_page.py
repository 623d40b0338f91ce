"""docs/testing.md names tests for what went wrong elsewhere and in 1.0.0; those tests are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from faults.upstream import FAULTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/.-]+\.py)(?:::(\w+))?`", PAGE)))


def rows(title: str) -> list[str]:
    """The rows of the table in a section, without its head."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


ELSEWHERE = rows("What went wrong elsewhere")
FLEETS = rows("Machines and fleets: what failed in 1.0.0 and the test that holds it")
MODELS = rows("Models: what failed in 1.0.0 and the test that holds it")


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_test_that_the_page_names_is_there(file: str, name: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")

    assert re.search(rf"^\s*def {name}\(" if name else "def test_", text, re.MULTILINE)


@pytest.mark.parametrize("row", ELSEWHERE + FLEETS + MODELS, ids=lambda row: " ".join(row.split("|")[1:3]).strip()[:60])
def test_everything_that_went_wrong_has_its_test(row: str) -> None:
    assert re.search(r"`tests/[\w/]+\.py(::\w+)?`", row.rsplit("|", 2)[1])


@pytest.mark.parametrize(("table", "part", "lines"), [(FLEETS, "C", 16), (MODELS, "D", 4)], ids=["fleets", "models"])
def test_every_line_of_the_list_has_a_row(table: list[str], part: str, lines: int) -> None:
    found = list(dict.fromkeys(row.split("|")[1].strip() for row in table))

    assert found == [f"{part}{line}" for line in range(1, lines + 1)]


def test_the_page_says_how_many_faults_and_statuses_are_played() -> None:
    statuses = list(FAULTS).index("100, then the answer")

    assert f"{statuses} faults and {len(FAULTS) - statuses} unusual statuses" in PAGE
