"""How much of something one solved task took, and how sure that is. Pure; nothing but arithmetic.

The figure is a ratio: the mean of all tries, those that failed included, by the share of the solved. Its 95 % interval
is put together on the logarithm (MOVER, Zou and Donner, Statistics in Medicine 27, 2008) from that of the mean
(Student's, by the delta method) and that of the share (Wilson's), with what the two have to do with each other: a task
that fails is tried more often. Coverage, beside the bootstrap's, which holds 80 to 93 %: docs/decisions/0041.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, correlation, fmean, stdev

from gridtie.bench.stats import CONFIDENCE, Estimate
from gridtie.quality.stats import wilson

_Z = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / 2)


def per_solved(spent: Sequence[float], solved: Sequence[bool]) -> Estimate | None:
    """`spent` by the number of `solved`, a value for each task that was tried; None where none was solved.

    One task alone says nothing of others: its interval is open at both ends.
    """
    n, rate = len(spent), wilson(sum(solved), len(solved))
    if not rate.passed:
        return None
    value = sum(spent) / rate.passed
    if n < 2:
        return Estimate(value, None, None, n)
    if not value:
        return Estimate(0.0, 0.0, 0.0, n)
    spread = stdev(spent)
    of_mean = _student(n - 1) * spread / math.sqrt(n) / fmean(spent)
    together = correlation(spent, [float(each) for each in solved]) if spread and rate.passed < n else 0.0
    below, above = (
        math.sqrt(of_mean**2 + of_share**2 - 2 * together * of_mean * of_share)
        for of_share in (math.log(rate.high / rate.share), math.log(rate.share / rate.low))
    )
    return Estimate(value, value * math.exp(-below), value * math.exp(above), n)


def _student(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's distribution, by the expansion of Cornish and Fisher.

    Within 1 % from 2 degrees of freedom on; Abramowitz and Stegun 26.7.5. That of 1, Cauchy's, is exact: the expansion
    is a ninth too small there.
    """
    if freedom == 1:
        return math.tan(math.pi * CONFIDENCE / 2)
    z: float = _Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom**power) for power, term in enumerate(terms, 1))
