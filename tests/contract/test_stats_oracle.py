"""The statistics of `gridtie bench` and `gridtie quality` against scipy (stats_oracle.json, by the script beside)."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from gridtie.bench import stats
from gridtie.quality import stats as rates

ORACLE: dict[str, Any] = json.loads(Path(__file__).with_name("stats_oracle.json").read_text())
RUNS = 2_000
# Of 2,000 intervals that hold 95 %, fewer than 93.6 % hold once in five hundred trials.
LEAST_COVERAGE = 0.936


def named(row: dict[str, Any]) -> str:
    return "-".join(f"{value}" for name, value in row.items() if name in ("size", "share"))


@pytest.mark.parametrize("row", ORACLE["percentiles"], ids=named)
def test_a_percentile_and_its_interval_are_scipys(row: dict[str, Any]) -> None:
    found = stats.percentile(ORACLE["samples"][str(row["size"])], row["share"])

    assert found.value == pytest.approx(row["value"])
    assert (found.low, found.high) == (row["low"], row["high"])


@pytest.mark.parametrize("row", ORACLE["rank_tests"], ids=lambda row: str(len(row["before"])))
def test_chance_is_as_likely_as_scipy_says(row: dict[str, Any]) -> None:
    found = stats.difference(row["before"], row["after"])

    assert found is not None
    assert found.p == pytest.approx(row["p"], rel=1e-9)


@pytest.mark.parametrize("row", ORACLE["bootstrap"], ids=named)
def test_a_resampled_interval_is_scipys_but_for_chance(row: dict[str, Any]) -> None:
    found = stats.bootstrap(ORACLE["samples"][str(row["size"])], fmean, seed=1)

    width = row["high"] - row["low"]
    assert found.low == pytest.approx(row["low"], abs=0.1 * width)
    assert found.high == pytest.approx(row["high"], abs=0.1 * width)


SPREADS: dict[str, Callable[[random.Random], float]] = {
    "narrow": lambda draw: draw.lognormvariate(0, 0.1),
    "wide": lambda draw: draw.lognormvariate(0, 0.6),
    "exponential": lambda draw: draw.expovariate(1),
    "flat": lambda draw: draw.uniform(1, 2),
}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("share", [0.5, 0.95])
@pytest.mark.parametrize("size", [20, 100])
def test_an_interval_holds_scipys_true_percentile_as_often_as_it_says(spread: str, share: float, size: int) -> None:
    true = ORACLE["spreads"][spread][str(share)]
    draw = random.Random(f"{spread} {share} {size}")
    below, above = stats.enclosing(size, share)
    held = 0
    for _ in range(RUNS):
        ordered = sorted(SPREADS[spread](draw) for _ in range(size))
        held += (below < 1 or ordered[below - 1] <= true) and (above > size or true <= ordered[above - 1])

    assert held / RUNS >= LEAST_COVERAGE


@pytest.mark.parametrize("row", ORACLE["wilson"], ids=lambda row: f"{row['passed']}-of-{row['total']}")
def test_a_pass_rates_interval_is_scipys(row: dict[str, Any]) -> None:
    found = rates.wilson(row["passed"], row["total"])

    assert (found.low, found.high) == (pytest.approx(row["low"]), pytest.approx(row["high"]))


@pytest.mark.parametrize("row", ORACLE["mcnemar"], ids=lambda row: f"{row['first']}-{row['second']}")
def test_two_sides_of_the_same_tasks_differ_as_likely_as_scipy_says(row: dict[str, Any]) -> None:
    pairs = [(True, False)] * row["first"] + [(False, True)] * row["second"] + [(True, True), (False, False)]
    found = rates.mcnemar(pairs)

    assert (found.only_first, found.only_second, found.both, found.neither) == (row["first"], row["second"], 1, 1)
    assert found.p == pytest.approx(row["p"])
