#!/usr/bin/env python3
"""Write the tables of docs/scale.md from docs/size.yaml; with `--check` only say whether they are current."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from models_page import fill, settle, table

from gridtie.catalogue.load import load
from gridtie.ledger import Prices
from gridtie.size import told
from gridtie.size.answer import Answer, answer
from gridtie.size.demand import assumed
from gridtie.size.places import places
from gridtie.size.plan import parse
from gridtie.size.speeds import assumed as assumed_speeds

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "scale.md"
PLAN = ROOT / "docs" / "size.yaml"


def asked() -> Answer:
    """The answer to the example, as `gridtie size docs/size.yaml` gives it."""
    plan = parse(PLAN.read_bytes(), PLAN.name)
    if plan.traffic is None:
        raise ValueError(f"{PLAN.name} has no traffic")
    catalogue = load(ROOT / "config" / "models.yaml")
    return answer(
        plan,
        assumed(plan.traffic, plan.rhythm),
        {machine.name: assumed_speeds(machine) for machine in plan.machines},
        {machine.name: places(machine, catalogue) for machine in plan.machines if machine.memory_gib is not None},
        Prices.load(ROOT / "config" / "prices.json"),
    )


def page(text: str) -> str:
    """The page with everything between its marks written anew. Raises ValueError where a mark is missing."""
    found = asked()
    made = {
        "teams": _table(told.TEAMS, told.teams(found), {0, *range(3, len(told.TEAMS))}),
        "ends": _table(told.ENDS, told.ends(found), {2}),
        "basis": _table(told.BASIS, told.basis(found), set()),
    }
    for team in found.teams:
        made[f"team-{team.developers}"] = "\n\n".join(
            [
                _table(told.MACHINES, told.machines(team), set(range(2, len(told.MACHINES)))),
                *(f"{line[0].upper()}{line[1:]}" for line in told.refusals(team)),
            ]
        )
    for name, content in made.items():
        text = fill(text, PAGE.name, name, content)
    return text


def _table(head: Sequence[str], rows: Iterable[list[str]], right: set[int]) -> str:
    return table(list(head), list(rows), right)


def main() -> int:
    """Write the page, or say that it is not up to date."""
    return settle(PAGE, page(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
