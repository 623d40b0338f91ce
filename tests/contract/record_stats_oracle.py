"""Records what scipy says of fixed samples: intervals of percentiles, rank tests, quantiles of distributions.

    scripts/record-stats-oracle

The record, stats_oracle.json, lies beside this file, and test_stats_oracle.py holds `gridtie.bench.stats` against it.
scipy itself is in no lock: 60 MB for a few numbers that do not change.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy
import scipy
from scipy import stats

HERE = Path(__file__).parent
SIZES = (8, 20, 40, 60, 100, 200)
SHARES = (0.5, 0.95)
# How times of requests are spread in the tests of coverage: name -> distribution.
SPREADS = {
    "narrow": stats.lognorm(0.1),
    "wide": stats.lognorm(0.6),
    "exponential": stats.expon(),
    "flat": stats.uniform(1, 1),
}


def main() -> None:
    draw = random.Random(2026)
    samples = {size: [draw.lognormvariate(0, 0.3) for _ in range(size)] for size in SIZES}
    document = {
        "scipy": scipy.__version__,
        "spreads": {name: {str(share): spread.ppf(share) for share in SHARES} for name, spread in SPREADS.items()},
        "samples": {str(size): sample for size, sample in samples.items()},
        "percentiles": [_percentile(samples[size], share) for size in SIZES for share in SHARES],
        "rank_tests": [_rank_test(draw, size, factor, step) for size in SIZES for factor, step in CASES],
        "wilson": [_wilson(passed, total) for passed, total in RATES],
        "mcnemar": [{"first": b, "second": c, "p": float(stats.binomtest(b, b + c).pvalue)} for b, c in DISCORDANT],
        "bootstrap": [_bootstrap(samples[size]) for size in SIZES],
    }
    (HERE / "stats_oracle.json").write_text(json.dumps(document, indent=1) + "\n")


RATES = ((0, 1), (1, 1), (0, 20), (3, 20), (10, 20), (19, 20), (57, 64), (400, 1000))
# Tasks that the first side alone solved, and those that the second did.
DISCORDANT = ((1, 0), (3, 3), (1, 7), (9, 2), (0, 12), (30, 45))


def _wilson(passed: int, total: int) -> dict[str, object]:
    found = stats.binomtest(passed, total).proportion_ci(0.95, method="wilson")
    return {"passed": passed, "total": total, "low": float(found.low), "high": float(found.high)}


def _percentile(sample: list[float], share: float) -> dict[str, object]:
    """The interval of order statistics: scipy inverts the same exact binomial test, and opens an end likewise."""
    test = stats.quantile_test(sample, q=float(numpy.quantile(sample, share)), p=share)
    low, high = test.confidence_interval(0.95)
    value = float(numpy.quantile(sample, share))
    ends = [None if numpy.isnan(end) else float(end) for end in (low, high)]
    return {"size": len(sample), "share": share, "value": value, "low": ends[0], "high": ends[1]}


# The factor between the two samples, and the step to which values are rounded: ties.
CASES = ((1.0, 0.0), (1.15, 0.0), (1.15, 0.1), (0.7, 0.05))


def _rank_test(draw: random.Random, size: int, factor: float, step: float) -> dict[str, object]:
    before = [_stepped(draw.lognormvariate(0, 0.3), step) for _ in range(size)]
    after = [_stepped(factor * draw.lognormvariate(0, 0.3), step) for _ in range(size + 3)]
    test = stats.mannwhitneyu(after, before, alternative="two-sided", method="asymptotic", use_continuity=True)
    return {"before": before, "after": after, "p": float(test.pvalue)}


def _stepped(value: float, step: float) -> float:
    return max(step, round(value / step) * step) if step else value


def _bootstrap(sample: list[float]) -> dict[str, object]:
    found = stats.bootstrap((sample,), numpy.mean, n_resamples=20_000, method="percentile", rng=1)
    return {"size": len(sample), "low": found.confidence_interval.low, "high": found.confidence_interval.high}


if __name__ == "__main__":
    main()
