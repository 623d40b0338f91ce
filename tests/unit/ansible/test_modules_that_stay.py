"""Each module of ours says in docs/decisions/0052 why it is ours and not the community's."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/decisions/0052-modules-that-stay.md").read_text(encoding="utf-8")
REASONS = dict(re.findall(r"^\| `(gridtie_\w+)` \| (.+) \|$", PAGE, re.MULTILINE))
MODULES = {path.stem for path in (ROOT / "plugins/modules").glob("gridtie_*.py")}


def test_every_module_has_a_line_with_its_reason() -> None:
    """A module that is new: write there what the community's lack for it, or use one of those."""
    assert sorted(MODULES - REASONS.keys()) == []


def test_no_line_is_about_a_module_that_is_gone() -> None:
    assert sorted(REASONS.keys() - MODULES) == []


def test_every_decision_that_a_reason_names_is_there() -> None:
    named = {link for reason in REASONS.values() for link in re.findall(r"\]\((\d{4}[^)]+)\)", reason)}

    assert [link for link in sorted(named) if not (ROOT / "docs/decisions" / link).is_file()] == []
