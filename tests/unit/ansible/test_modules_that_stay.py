"""Each module of ours says in docs/decisions/0052 why it is ours and not the community's."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/decisions/0052-modules-that-stay.md").read_text(encoding="utf-8")
REASONS = dict(re.findall(r"^\| `(gridtie_\w+)` \| (.+) \|$", PAGE, re.MULTILINE))
MODULES = {path.stem for path in (ROOT / "plugins/modules").glob("gridtie_*.py")}
TASKS = "\n".join(
    path.read_text(encoding="utf-8")
    for place in ("roles/*/tasks", "roles/*/handlers", "playbooks")
    for path in ROOT.glob(f"{place}/*.yml")
)
# What only says in which order, and what people are told or asked.
STEERING = re.compile(r"include_|import_|meta$|fail$|debug$|pause$")


def test_every_module_has_a_line_with_its_reason() -> None:
    """A module that is new: write there what the community's lack for it, or use one of those."""
    assert sorted(MODULES - REASONS.keys()) == []


def test_no_line_is_about_a_module_that_is_gone() -> None:
    assert sorted(REASONS.keys() - MODULES) == []


def test_every_decision_that_a_reason_names_is_there() -> None:
    named = {link for reason in REASONS.values() for link in re.findall(r"\]\((\d{4}[^)]+)\)", reason)}

    assert [link for link in sorted(named) if not (ROOT / "docs/decisions" / link).is_file()] == []


def test_every_module_is_called() -> None:
    """By a task, or by an action that a task calls."""
    actions = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "plugins/action").glob("*.py"))
    called = set(re.findall(r"gridtie\.gridtie\.(gridtie_\w+):", TASKS))
    called |= set(re.findall(r'"gridtie\.gridtie\.(gridtie_\w+)"', actions))

    assert sorted(MODULES - called) == []


def test_the_builtin_modules_that_the_page_names_are_those_that_are_used() -> None:
    used = {name for name in re.findall(r"ansible\.builtin\.(\w+):", TASKS) if not STEERING.match(name)}
    (named,) = re.findall(r"What ansible-core has is used where it does the job: (.+?)\. `", PAGE)

    assert sorted(used) == sorted(re.findall(r"`(\w+)`", named))
