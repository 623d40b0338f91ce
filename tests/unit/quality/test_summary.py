"""Solved tasks, their intervals, and two targets side by side."""

from __future__ import annotations

from typing import Any

import pytest

from gridtie.bench.lines import Stopped
from gridtie.quality import summary
from gridtie.quality.results import LeftOut, Results, Run, Try
from gridtie.quality.stats import mcnemar, wilson
from gridtie.quality.tasks import TASKS

JSON = [name for name, task in TASKS.items() if task.category == "json"]


def results(verdicts: dict[str, list[bool]], **costs: Any) -> Results:
    """A run in which each task's samples went like this."""
    made = Results(
        Run(
            version="1.1.0", started="2026-11-29T10:00:00+00:00", target="here/m", locality="local", environment="dev",
            tasks={name: TASKS[name].category for name in verdicts}, samples=max(map(len, verdicts.values())),
            temperature=0.0,
        )
    )  # fmt: skip
    for task, samples in verdicts.items():
        for number, passed in enumerate(samples):
            made.add(Try(task=task, sample=number, why="" if passed else "wrong", seconds=2.0, **costs))
    return made


def test_a_task_is_solved_where_more_than_half_of_its_samples_are_right() -> None:
    found = summary.solved(
        results({JSON[0]: [True, True, False], JSON[1]: [True, False, False], JSON[2]: [True, False]})
    )

    assert found == {JSON[0]: True, JSON[1]: False, JSON[2]: False}


def test_what_a_solved_task_took_counts_the_tries_that_failed() -> None:
    (line, _) = summary.lines(results({JSON[0]: [True], JSON[1]: [False]}, cost_usd=0.01))

    assert line.seconds_per_solved == pytest.approx(4.0)
    assert line.usd_per_solved == pytest.approx(0.02)


def test_a_cost_that_is_not_known_is_not_0() -> None:
    (line, _) = summary.lines(results({JSON[0]: [True]}, cost_usd=None))

    assert line.usd_per_solved is None


def test_where_nothing_is_solved_nothing_was_the_price_of_it() -> None:
    (line, _) = summary.lines(results({JSON[0]: [False]}, cost_usd=0.01))

    assert (line.seconds_per_solved, line.usd_per_solved) == (None, None)
    assert line.rate.passed == 0


def test_sides_are_compared_over_the_tasks_that_both_were_given() -> None:
    first = results({name: [True] for name in JSON})
    second = results({name: [False] for name in JSON[:6]})
    pairs = dict(summary.paired(first, second))

    assert (pairs["json"].only_first, pairs["json"].only_second, pairs["json"].both) == (6, 0, 0)
    assert summary.worse(first, second)
    assert not summary.worse(second, first)


def test_few_tasks_are_no_proof() -> None:
    first, second = results({name: [True] for name in JSON[:5]}), results({name: [False] for name in JSON[:5]})

    assert not summary.worse(first, second)
    assert "no difference beyond chance" in summary.comparison(first, second)


def test_what_was_left_out_and_an_early_end_are_said() -> None:
    made = results({JSON[0]: [True]})
    made.add(LeftOut(task="long-32k-at-20", why="the target has 8,192 tokens of context"))
    made.add(Stopped(why="here/m answers no more"))
    told = summary.report(made)

    assert "Not tried: the target has 8,192 tokens of context: long-32k-at-20" in told
    assert "Not finished: here/m answers no more" in told


def test_no_tries_are_no_rate_and_no_error() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high, wilson(0, 0).share) == (0, 1, 0)
    assert mcnemar([]).p == 1
