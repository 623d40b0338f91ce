"""Targets as people write them, and what becomes of them."""

from __future__ import annotations

import pytest

from gridtie.bench.asking import Answer
from gridtie.bench.errors import BenchError
from gridtie.bench.expect import judge, parse
from gridtie.bench.plan import BESIDE, ROUTER
from gridtie.bench.profiles import PROFILES
from gridtie.bench.results import Begin, Request, Results, Run
from gridtie.bench.summary import Summary, summaries


def run() -> Run:
    return Run(
        version="1", started="2026-11-29T10:00:00+00:00", seed="s", endpoint="http://127.0.0.1:8484", target="here/m",
        locality="local", model="here/m", environment="dev", profiles=(PROFILES["chat"],), concurrency=(1, 4),
        requests=80, rounds=4,
    )  # fmt: skip


def measured(
    first: float = 1.0, failed: int = 0, count: int = 80, concurrency: int = 4, way: str = ROUTER
) -> list[Summary]:
    """One row of the chat profile whose first tokens lie between `first` and a tenth more, 1 ms a token after that."""
    results = Results(run())
    results.add(Begin(block=0))
    common = {"block": 0, "profile": "chat", "concurrency": concurrency, "way": way}
    for number in range(count):
        token = first * (1 + 0.1 * number / count)
        answer = Answer(first_token=token, end=token + 0.099, tokens_in=400, tokens_out=100)
        results.add(Request(**common, answer=answer))
    for _ in range(failed):
        results.add(Request(**common, error="503: busy"))
    return summaries(results)


@pytest.mark.parametrize(
    ("text", "measure", "tail", "below", "bound", "concurrency", "profile"),
    [
        ("first-token p95 < 2 s at 4 in chat", "first-token", True, True, 2.0, 4, "chat"),
        ("between-tokens<50ms", "between-tokens", False, True, 0.05, None, None),
        ("first-token p50 < 2", "first-token", False, True, 2.0, None, None),
        ("Throughput > 120 tokens/s at 8", "throughput", False, False, 120.0, 8, None),
        ("answer-rate p5 > 10 tokens/s", "answer-rate", True, False, 10.0, None, None),
        ("errors < 1 %", "errors", False, True, 0.01, None, None),
    ],
)
def test_a_target_is_read(
    text: str, measure: str, tail: bool, below: bool, bound: float, concurrency: int | None, profile: str | None
) -> None:
    found = parse(text)

    assert (found.measure, found.tail, found.below, found.concurrency, found.profile) == (
        measure, tail, below, concurrency, profile,
    )  # fmt: skip
    assert found.bound == pytest.approx(bound)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "wanted for instance"),
        ("fast please", "wanted for instance"),
        ("first-token p95 < 2 hours", "wanted for instance"),
        ("first-tokem < 2 s", "there is no measure 'first-tokem'"),
        ("throughput > 5 s", "throughput is measured in tokens/s"),
        ("first-token < 5 %", "first-token is measured in s or ms"),
        ("errors < 3", "errors is measured in %"),
        ("answer-rate p95 > 10 tokens/s", "the bad end of answer-rate is its p5"),
    ],
)
def test_one_that_makes_no_sense_is_told_what_would(text: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        parse(text)


def outcome(text: str, rows: list[Summary]) -> tuple[bool, bool]:
    (found,) = judge([parse(text)], rows)
    return found.held, found.sure


def test_a_bound_that_lies_beyond_all_values_is_held_for_sure() -> None:
    assert outcome("first-token p95 < 2 s", measured()) == (True, True)
    assert outcome("first-token p95 < 500 ms", measured()) == (False, True)


def test_a_bound_within_the_interval_is_held_and_not_for_sure() -> None:
    assert outcome("first-token p95 < 1.097 s", measured()) == (True, False)


def test_a_tail_of_few_values_is_never_sure_to_be_below() -> None:
    assert outcome("first-token p95 < 2 s", measured(count=20)) == (True, False)


def test_rates_and_failures_have_bounds_too() -> None:
    assert outcome("throughput > 300 tokens/s", measured())[0]
    assert not outcome("throughput > 400 tokens/s", measured())[0]
    assert outcome("errors < 2 %", measured(failed=1)) == (True, True)
    assert outcome("errors < 1 %", measured(failed=1)) == (False, True)


def test_it_is_about_the_rows_that_it_names_and_those_through_the_router() -> None:
    rows = [*measured(1.0, concurrency=1), *measured(9.0, concurrency=4), *measured(9.0, concurrency=1, way=BESIDE)]

    assert [found.held for found in judge([parse("first-token < 2 s")], rows)] == [True, False]
    assert outcome("first-token < 2 s at 1", rows) == (True, True)


def test_one_that_no_row_is_about_is_missed() -> None:
    assert not outcome("first-token < 2 s at 64", measured())[0]
    assert not outcome("first-answer-token < 2 s", measured())[0]
