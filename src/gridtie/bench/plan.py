"""In which order what is measured: blocks of requests, so that every row meets every mood of the machine. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gridtie.bench.profiles import Profile

ROUTER, BESIDE = "router", "beside"
FIRST, AGAIN = "first", "again"


@dataclass(frozen=True)
class Block:
    """So many requests of one row, over one way. Its number is its place in the plan."""

    number: int
    profile: Profile
    concurrency: int
    way: str
    requests: int


def blocks(
    profiles: Sequence[Profile], concurrency: Sequence[int], ways: Sequence[str], requests: int, rounds: int
) -> list[Block]:
    """All blocks in their order: each round goes over all rows, and which way goes first alternates.

    What measures a cache asks one at a time: which of several at once fills it is chance.
    """
    each = math.ceil(requests / rounds)
    planned: list[Block] = []
    for turn in range(rounds):
        row = 0
        for profile in profiles:
            for at_once in concurrency[:1] if profile.repeats else concurrency:
                ordered = ways if (turn + row) % 2 == 0 else tuple(reversed(ways))
                row += 1
                for way in ordered:
                    number = 1 if profile.repeats else at_once
                    planned.append(Block(len(planned), profile, number, way, max(each, number)))
    return planned
