"""The list of cases. A module of cases registers its own when it is imported."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cases.harness import Fixture

Body = Callable[["Fixture"], Awaitable[str]]


@dataclass(frozen=True)
class Case:
    """One example of one line of the list."""

    # Of the line, and the number of the example within it: A3.2. H are what held from the start.
    id: str
    title: str
    body: Body
    # Held at the base already: a failure there is news.
    held: bool = False
    # Moves so much data that it would disturb the clocks of others: runs when nothing else does.
    alone: bool = False
    # After so many seconds it has failed, whatever it waits for.
    limit: float = 30.0

    @property
    def order(self) -> tuple[str, list[int]]:
        """A3.2 comes before A3.10, and A3 before A23."""
        return self.id[0], [int(number) for number in re.findall(r"\d+", self.id)]


CASES: list[Case] = []


def case(
    id: str, title: str, *, held: bool = False, alone: bool = False, limit: float = 30.0
) -> Callable[[Body], Body]:
    """Register a case. It returns what was seen, in a few words, and raises `Fails` where that is not right."""

    def register(body: Body) -> Body:
        if any(known.id == id for known in CASES):
            raise ValueError(f"there is a case {id} already")
        CASES.append(Case(id, title, body, held, alone, limit))
        return body

    return register


class Fails(AssertionError):
    """What was seen is not what must happen; the message says what was seen."""


def expect(condition: object, seen: str) -> None:
    """Raise `Fails` with what was seen unless the condition holds."""
    if not condition:
        raise Fails(seen)
