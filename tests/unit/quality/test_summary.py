"""Solved tasks, their intervals, and two targets side by side."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from gridtie.bench.lines import Stopped
from gridtie.ledger import Entry
from gridtie.quality import summary
from gridtie.quality.results import LeftOut, Results, Run, Try
from gridtie.quality.stats import mcnemar, wilson
from gridtie.quality.tasks import TASKS
from gridtie.solved.money import Tariff

JSON = [name for name, task in TASKS.items() if task.category == "json"]


TARIFF = Tariff()
CLOUD = "openai/gpt-5.4-mini"


def results(verdicts: dict[str, list[bool]], **row: Any) -> Results:
    """A run in which each task's samples went like this; `row` is what the ledger says of each request."""
    made = Results(
        Run(
            version="1.1.0", started="2026-11-29T10:00:00+00:00", target="here/m", locality="local", environment="dev",
            tasks={name: TASKS[name].category for name in verdicts}, samples=max(map(len, verdicts.values())),
            temperature=0.0,
        )
    )  # fmt: skip
    for task, samples in verdicts.items():
        for number, passed in enumerate(samples):
            why, entry = "" if passed else "wrong", asked(f"{task} {number}", **row) if row else None
            made.add(Try(task=task, sample=number, why=why, seconds=2.0, entry=entry))
    return made


def asked(id: str, **row: Any) -> Entry:
    usual = {"time": 1e9, "key": "k", "environment": "dev", "surface": "openai", "asked": "m", "status": 200}
    return Entry(id=id, **{**usual, "purpose": "quality", "duration": 2.0, **row})


def test_a_task_is_solved_where_more_than_half_of_its_samples_are_right() -> None:
    found = summary.solved(
        results({JSON[0]: [True, True, False], JSON[1]: [True, False, False], JSON[2]: [True, False]})
    )

    assert found == {JSON[0]: True, JSON[1]: False, JSON[2]: False}


def test_what_a_solved_task_took_counts_the_tries_that_failed() -> None:
    made = results({JSON[0]: [True], JSON[1]: [False]}, target=CLOUD, locality="cloud", cost_usd=0.01)
    (line, all_) = summary.lines(made, TARIFF)

    assert (line.group, all_.group) == ("json", "all")
    assert line.seconds is not None
    assert line.usd is not None
    assert line.seconds.value == pytest.approx(4.0)
    assert line.usd.value == pytest.approx(0.02)


def test_a_local_answer_costs_its_electricity() -> None:
    made = results({JSON[0]: [True], JSON[1]: [False]}, target="here/m", locality="local", cost_usd=0.0)
    made.tries = {key: replace(each, entry=_later(each.entry, at)) for at, (key, each) in enumerate(made.tries.items())}
    (line, _) = summary.lines(made, TARIFF)

    assert line.usd is not None
    # Two answers of 2 s at 300 W and $0.30 a kilowatt-hour, for one that is right.
    assert line.usd.value == pytest.approx(2 * 2.0 / 3600 * 0.3 * 0.30)
    assert "300 W while answering at $0.30 a kilowatt-hour, assumed" in summary.report(made, TARIFF)


def test_samples_repeat_a_try_and_make_no_task_dearer() -> None:
    once, thrice = (
        summary.lines(results({JSON[0]: samples}, target=CLOUD, locality="cloud", cost_usd=0.01), TARIFF)[0]
        for samples in ([True], [True, True, False])
    )

    assert once.usd is not None
    assert thrice.usd is not None
    assert (once.usd.value, once.seconds) == (pytest.approx(thrice.usd.value), thrice.seconds)


def _later(entry: Entry | None, at: int) -> Entry:
    assert entry is not None
    return replace(entry, time=entry.time + 10 * at)


@pytest.mark.parametrize("row", [{}, {"target": CLOUD, "locality": "cloud", "cost_usd": None}])
def test_a_cost_that_is_not_known_is_not_0(row: dict[str, Any]) -> None:
    made = results({JSON[0]: [True]}, **row)
    (line, _) = summary.lines(made, TARIFF)

    assert line.usd is None
    assert "unknown" in summary.report(made, TARIFF)


def test_where_nothing_is_solved_nothing_was_the_price_of_it() -> None:
    made = results({JSON[0]: [False]}, target=CLOUD, locality="cloud", cost_usd=0.01)
    (line, _) = summary.lines(made, TARIFF)

    assert (line.seconds, line.usd) == (None, None)
    assert line.rate.passed == 0
    assert "none solved" in summary.report(made, TARIFF)


def test_two_targets_are_told_with_what_a_solved_task_cost_on_each() -> None:
    names = {name: [True] for name in JSON}
    dear = results(names, target=CLOUD, locality="cloud", cost_usd=0.01)
    cheap = results(names, target=CLOUD, locality="cloud", cost_usd=0.001)
    told = summary.comparison(dear, cheap, TARIFF).splitlines()
    (line,) = [each for each in told if each.startswith("json") and "$" in each]

    assert re.search(r"\$0\.0100 \(\S+ to \S+\)  \$0\.001000 \(\S+ to \S+\)  B$", line), line


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
    assert "no difference beyond chance" in summary.comparison(first, second, TARIFF)


def test_what_was_left_out_and_an_early_end_are_said() -> None:
    made = results({JSON[0]: [True]})
    made.add(LeftOut(task="long-32k-at-20", why="the target has 8,192 tokens of context"))
    made.add(Stopped(why="here/m answers no more"))
    told = summary.report(made, TARIFF)

    assert "Not tried: the target has 8,192 tokens of context: long-32k-at-20" in told
    assert "Not finished: here/m answers no more" in told


def test_no_tries_are_no_rate_and_no_error() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high, wilson(0, 0).share) == (0, 1, 0)
    assert mcnemar([]).p == 1
