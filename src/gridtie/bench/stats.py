"""Percentiles with intervals, and whether two measurements differ by more than chance. Pure; nothing but arithmetic.

Intervals hold 95 % unless it says otherwise, and they assume nothing about how times are spread:

- A percentile's is made of order statistics: how many of n values lie below the true percentile is binomial, so two of
  the values themselves enclose it. The bootstrap, which draws from the same binomial and interpolates, held only 63 to
  93 % at the 95th percentile of 20 to 200 values (docs/decisions/0035). Where the sample is too small for an end, that
  end is open: of 40 values no one can say how slow the slowest in twenty may be.
- What is no percentile (tokens a second of several requests together) is resampled, with a seed.
- Two samples are compared by their ranks (Mann-Whitney), and how large the difference is comes from the same test
  turned round (Hodges-Lehmann, as a ratio), so that verdict and interval never contradict each other.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import NormalDist, median
from typing import TypeVar

T = TypeVar("T")

CONFIDENCE = 0.95
# Fewer values on a side have no rank test worth its name: the normal approximation is within a hundredth from here on.
LEAST = 8
RESAMPLES = 2000
# A difference below this is nobody's concern, however sure it is: a machine that got warmer loses as much.
WORTH_SAYING = 0.05
# How sure it must be that a measurement drifted while it ran. It is asked of every row, so it is asked strictly.
DRIFT_P = 0.01

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Estimate:
    """A figure of `n` values with the ends of its interval; None: the values do not bound it on that side."""

    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Difference:
    """How `after` stands to `before`: their ratio (above 1: larger), its interval, and how easily chance does that."""

    ratio: float
    low: float
    high: float
    p: float


def percentile(values: Sequence[float], share: float) -> Estimate:
    """The value that `share` (0 to 1) of all values lie below, with its interval. Raises ValueError without values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a percentile of no values")
    below, above = enclosing(len(ordered), share)
    return Estimate(
        value=_interpolated(ordered, share),
        low=ordered[below - 1] if below >= 1 else None,
        high=ordered[above - 1] if above <= len(ordered) else None,
        n=len(ordered),
    )


def enclosing(n: int, share: float) -> tuple[int, int]:
    """Which two of n ordered values (the smallest is 1) enclose the percentile; 0 and n + 1: no value does."""
    tail = (1 - CONFIDENCE) / 2
    return _binomial_quantile(n, share, tail), _binomial_quantile(n, share, 1 - tail) + 1


def bootstrap(
    values: Sequence[T], statistic: Callable[[Sequence[T]], float], seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """`statistic` of the values, and the middle 95 % of what it is for samples drawn from them with replacement.

    Not for percentiles (see above). The same seed gives the same interval. Raises ValueError without values.
    """
    if not values:
        raise ValueError("a statistic of no values")
    draw = random.Random(seed)  # noqa: S311 - chance is what is wanted, not a secret
    drawn = sorted(statistic(draw.choices(values, k=len(values))) for _ in range(resamples))
    tail = (1 - CONFIDENCE) / 2
    return Estimate(statistic(values), _interpolated(drawn, tail), _interpolated(drawn, 1 - tail), len(values))


def difference(before: Sequence[float], after: Sequence[float]) -> Difference | None:
    """Compare two samples of values above zero; None where one of them is too small to tell anything by."""
    if min(len(before), len(after)) < LEAST:
        return None
    p, spread = _mann_whitney(before, after)
    # Every pair's ratio; the interval is cut off where the rank test would begin to say that they differ.
    logs_before = [_log(value) for value in before]
    ratios = sorted(b - a for b in map(_log, after) for a in logs_before)
    pairs = len(ratios)
    cut = math.floor(pairs / 2 - 0.5 - _NORMAL.inv_cdf(1 - (1 - CONFIDENCE) / 2) * spread)
    cut = min(max(cut, 0), (pairs - 1) // 2)
    return Difference(math.exp(median(ratios)), math.exp(ratios[cut]), math.exp(ratios[pairs - 1 - cut]), p)


def _log(value: float) -> float:
    """Of a time; one that a clock could not tell from nothing is a nanosecond."""
    return math.log(max(value, 1e-9))


def holm(ps: Sequence[float]) -> list[float]:
    """The same probabilities, each raised to allow for how many were looked at: the smallest of twenty is small."""
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        largest = max(largest, min(1.0, (len(ps) - place) * ps[index]))
        adjusted[index] = largest
    return adjusted


def drift(values: Sequence[float]) -> Difference | None:
    """How the later half of a measurement stands to the earlier; None where they do not differ beyond chance."""
    middle = len(values) // 2
    found = difference(values[:middle], values[middle:])
    return found if found is not None and found.p < DRIFT_P else None


def _interpolated(ordered: Sequence[float], share: float) -> float:
    """The percentile with straight lines between the values, as numpy does by default."""
    place = share * (len(ordered) - 1)
    lower = math.floor(place)
    upper = min(lower + 1, len(ordered) - 1)
    return ordered[lower] + (place - lower) * (ordered[upper] - ordered[lower])


def _binomial_quantile(n: int, share: float, probability: float) -> int:
    """The least k for which at most k of n fall below `share` with at least this probability."""
    total = 0.0
    for k in range(n + 1):
        log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        total += math.exp(log + k * math.log(share) + (n - k) * math.log1p(-share))
        if total >= probability:
            return k
    return n


def _mann_whitney(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Two-sided p with corrections for ties and continuity, and the standard deviation of the number of pairs."""
    m, n = len(before), len(after)
    total = m + n
    joined = sorted([(value, 0) for value in before] + [(value, 1) for value in after])
    rank_sum, seen, ties = 0.0, 0, 0
    for _, group in groupby(joined, key=lambda pair: pair[0]):
        sides = [side for _, side in group]
        size = len(sides)
        rank_sum += sum(sides) * (seen + (size + 1) / 2)
        seen += size
        ties += size**3 - size
    distance = abs(rank_sum - n * (n + 1) / 2 - m * n / 2)
    variance = m * n / 12 * (total + 1 - ties / (total * (total - 1)))
    if variance <= 0:  # all values are one
        return 1.0, 0.0
    spread = math.sqrt(variance)
    return min(1.0, 2 * (1 - _NORMAL.cdf((distance - 0.5) / spread))), spread
