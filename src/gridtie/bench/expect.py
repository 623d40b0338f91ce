"""What a person wants held: `first-token p95 < 2 s at 4 in chat`. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gridtie.bench.errors import BenchError
from gridtie.bench.plan import ROUTER
from gridtie.bench.stats import Estimate
from gridtie.bench.summary import BY_NAME, Summary

_UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "tokens/s": 1.0, "%": 0.01}
_FORM = re.compile(
    r"(?P<measure>[a-z-]+)(?:\s+(?P<statistic>p50|p95|p5))?\s*(?P<sign><|>)\s*(?P<number>[0-9]+(?:\.[0-9]+)?)"
    r"\s*(?P<unit>s|ms|tokens/s|%)?(?:\s+at\s+(?P<concurrency>[0-9]+))?(?:\s+in\s+(?P<profile>[a-z0-9-]+))?"
)
THROUGHPUT, ERRORS = "throughput", "errors"
NAMES = (*BY_NAME, THROUGHPUT, ERRORS)
EXAMPLE = "first-token p95 < 2 s at 4 in chat"


@dataclass(frozen=True)
class Expectation:
    """A bound on one figure, in all rows that it is about: those through the router."""

    text: str
    measure: str
    tail: bool
    below: bool
    bound: float
    concurrency: int | None
    profile: str | None

    def concerns(self, summary: Summary) -> bool:
        row = summary.row
        return row.way == ROUTER and self.concurrency in (None, row.concurrency) and self.profile in (None, row.profile)


@dataclass(frozen=True)
class Outcome:
    """What became of an expectation in one row. `sure`: its interval lies on the same side of the bound."""

    expectation: Expectation
    row: str
    held: bool
    sure: bool
    value: float | None


def parse(text: str) -> Expectation:
    """Raises `BenchError` that says what is wrong and shows a right one."""
    found = _FORM.fullmatch(" ".join(text.lower().split()))
    if found is None:
        raise BenchError(f"{text!r} is no target; wanted for instance {EXAMPLE!r}; measures: {', '.join(NAMES)}")
    measure, unit = found["measure"], found["unit"] or ""
    if measure not in NAMES:
        raise BenchError(f"{text!r}: there is no measure {measure!r}; there are {', '.join(NAMES)}")
    times = measure in BY_NAME and BY_NAME[measure].worse == "more"
    if (unit in ("s", "ms")) > times or (unit == "%") != (measure == ERRORS) or (unit == "tokens/s" and times):
        wanted = "s or ms" if times else "%" if measure == ERRORS else "tokens/s"
        raise BenchError(f"{text!r}: {measure} is measured in {wanted}, found {unit or 'no unit'}")
    tail = found["statistic"] in ("p95", "p5")
    if tail and (found["statistic"] == "p95") != times:
        raise BenchError(f"{text!r}: the bad end of {measure} is its {'p95' if times else 'p5'}")
    return Expectation(
        text=text,
        measure=measure,
        tail=tail,
        below=found["sign"] == "<",
        bound=float(found["number"]) * _UNITS[unit],
        concurrency=int(found["concurrency"]) if found["concurrency"] else None,
        profile=found["profile"],
    )


def judge(expectations: Sequence[Expectation], summaries: Sequence[Summary]) -> list[Outcome]:
    """Every expectation in every row that it is about; one that is about none is missed: nobody measured it."""
    outcomes = []
    for each in expectations:
        concerned = [_judged(each, summary) for summary in summaries if each.concerns(summary)]
        outcomes += concerned or [Outcome(each, "no row", held=False, sure=True, value=None)]
    return outcomes


def _judged(expectation: Expectation, summary: Summary) -> Outcome:
    estimate = _estimate(expectation, summary)
    if estimate is None:
        return Outcome(expectation, str(summary.row), held=False, sure=True, value=None)

    def holds(value: float) -> bool:
        return value < expectation.bound if expectation.below else value > expectation.bound

    held = holds(estimate.value)
    ends = (estimate.low, estimate.high)
    # An open end may lie anywhere.
    sure = all(end is not None and holds(end) == held for end in ends)
    return Outcome(expectation, str(summary.row), held, sure, estimate.value)


def _estimate(expectation: Expectation, summary: Summary) -> Estimate | None:
    if expectation.measure == ERRORS:
        share = summary.error_share
        return Estimate(share, share, share, summary.answers)
    if expectation.measure == THROUGHPUT:
        return summary.throughput
    spread = summary.spreads.get(expectation.measure)
    if spread is None:
        return None
    return spread.tail if expectation.tail else spread.middle
