"""Whether one measurement is slower than another, by more than chance and by more than anybody should ignore. Pure.

Everything that is compared is seconds: more is slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gridtie.bench import stats
from gridtie.bench.stats import Difference

Word = Literal["slower", "faster", "same", "unsure", "too few"]

# How often `compare` may find a difference in two measurements of the same, over everything that it looks at.
FALSE_ALARMS = 0.05
# Twice what a comparison promises to find; where an interval reaches beyond it, nothing is called the same.
TELLING = 0.30


@dataclass(frozen=True)
class Pair:
    """One measure of one row, before and after: seconds, in the order in which they were measured."""

    row: str
    measure: str
    before: Sequence[float]
    after: Sequence[float]


@dataclass(frozen=True)
class Finding:
    """What is to be said of one pair; `p` allows for how many pairs were looked at."""

    row: str
    measure: str
    word: Word
    text: str
    difference: Difference | None = None
    p: float | None = None


def compare(pairs: Sequence[Pair]) -> list[Finding]:
    """Judge all pairs together: one of twenty that is slower by chance alone is no finding."""
    found = [stats.difference(pair.before, pair.after) for pair in pairs]
    adjusted = iter(stats.holm([each.p for each in found if each is not None]))
    return [
        _too_few(pair) if each is None else _finding(pair, each, next(adjusted))
        for pair, each in zip(pairs, found, strict=True)
    ]


def _too_few(pair: Pair) -> Finding:
    text = f"{len(pair.before)} and {len(pair.after)} values; {stats.LEAST} on each side are wanted"
    return Finding(pair.row, pair.measure, "too few", text)


def _finding(pair: Pair, found: Difference, p: float) -> Finding:
    word, text = _judged(pair, found, p)
    return Finding(pair.row, pair.measure, word, text, found, p)


def _judged(pair: Pair, found: Difference, p: float) -> tuple[Word, str]:
    told = f"{found.ratio - 1:+.1%} ({found.low - 1:+.1%} to {found.high - 1:+.1%})"
    if p >= FALSE_ALARMS and max(found.high, 1 / found.low) - 1 > TELLING:
        return "unsure", f"{told}, no difference beyond chance, and a large one could hide: more requests would tell"
    if p >= FALSE_ALARMS:
        return "same", f"{told}, no difference beyond chance"
    if abs(found.ratio - 1) < stats.WORTH_SAYING:
        return "same", f"{told}, beyond chance, and too small to matter (below {stats.WORTH_SAYING:.0%})"
    for side, values in (("the first", pair.before), ("the second", pair.after)):
        moved = stats.drift(values)
        if moved is not None and abs(math.log(moved.ratio)) >= abs(math.log(found.ratio)):
            return "unsure", f"{told}, but {side} changed by {moved.ratio - 1:+.1%} while it ran: measure again"
    return ("slower" if found.ratio > 1 else "faster"), f"{told}, beyond chance"
