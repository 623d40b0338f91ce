"""What real users send, write and own, and what must happen: each line against a router process, seen from outside."""

from __future__ import annotations

from importlib import import_module

from cases.registry import CASES, Case

# One module a theme; each registers its cases when it is imported.
THEMES = ("privacy", "liveness", "requests", "money", "memory", "answers", "clients", "configuration", "held")


def all_cases() -> list[Case]:
    """Every case, in the order of the list."""
    for theme in THEMES:
        import_module(f"cases.{theme}")
    return sorted(CASES, key=lambda case: case.order)
