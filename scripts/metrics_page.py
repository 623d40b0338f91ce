#!/usr/bin/env python3
"""Write the table of docs/metrics.md from what the router declares; with `--check` only say whether it is current."""

from __future__ import annotations

import sys
from pathlib import Path

from models_page import fill, settle, table

from gridtie.gateway.families import FAMILIES, Family

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"


def metrics() -> str:
    """Every metric: its name as it is asked for, its kind, its labels, what it means."""
    return table(["metric", "kind", "labels", "meaning"], [_row(family) for family in FAMILIES.values()], set())


def _row(family: Family) -> list[str]:
    name = family.name if family.kind == "histogram" else family.exported[0]
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return [f"`{name}`", family.kind, labels, family.help]


def main() -> int:
    """Write the page, or say that it is not up to date."""
    return settle(PAGE, fill(PAGE.read_text(encoding="utf-8"), PAGE.name, "metrics", metrics()))


if __name__ == "__main__":
    sys.exit(main())
