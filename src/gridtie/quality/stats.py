"""How sure a pass rate is, and whether two of the same tasks differ by more than chance. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """So many of so many, and the ends of Wilson's interval."""

    passed: int
    total: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """0 where nothing was tried."""
        return self.passed / self.total if self.total else 0.0


@dataclass(frozen=True)
class Paired:
    """The same tasks on two sides: how many only one of them solved, and how easily chance does that."""

    both: int
    only_first: int
    only_second: int
    neither: int
    p: float


def wilson(passed: int, total: int) -> Rate:
    """A rate with an interval that holds for few tries and at both ends, which the usual one does not."""
    if not total:
        return Rate(0, 0, 0.0, 1.0)
    z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2)
    share, weight = passed / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    return Rate(passed, total, max(0.0, middle - half), min(1.0, middle + half))


def mcnemar(pairs: Iterable[tuple[bool, bool]]) -> Paired:
    """Exact: of the tasks that one side alone solved, how likely a fair coin would part them so unevenly."""
    found = list(pairs)
    first = sum(one and not other for one, other in found)
    second = sum(other and not one for one, other in found)
    both = sum(one and other for one, other in found)
    odd = first + second
    tail = sum(math.comb(odd, k) for k in range(min(first, second) + 1)) / 2**odd
    return Paired(both, first, second, len(found) - both - odd, min(1.0, 2 * tail))
