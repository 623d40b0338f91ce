"""Pass rates by category with intervals, what a solved task took, and two targets side by side. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gridtie.host.table import table
from gridtie.quality.results import Results, Try
from gridtie.quality.stats import Paired, Rate, mcnemar, wilson

ALL = "all"


@dataclass(frozen=True)
class Line:
    """One category. A task is solved where more than half of its samples are right; samples are no tasks."""

    category: str
    rate: Rate
    seconds_per_solved: float | None
    # None: the price of a try is not known, or nothing was solved.
    usd_per_solved: float | None


def solved(results: Results) -> dict[str, bool]:
    """Of each task that was tried whether it is solved."""
    tries: dict[str, list[Try]] = {}
    for each in results.tries.values():
        tries.setdefault(each.task, []).append(each)
    return {task: 2 * sum(each.passed for each in tried) > len(tried) for task, tried in tries.items()}


def lines(results: Results) -> list[Line]:
    """Each category that was tried, and all of them."""
    verdicts = solved(results)
    categories = results.run.tasks
    found = []
    for category in (*dict.fromkeys(categories.values()), ALL):
        tasks = {name for name in verdicts if category in (ALL, categories[name])}
        if tasks:
            passed = sum(verdicts[name] for name in tasks)
            tries = [each for each in results.tries.values() if each.task in tasks]
            costs = [each.cost_usd for each in tries]
            known = [cost for cost in costs if cost is not None]
            whole = passed and len(known) == len(costs)
            found.append(
                Line(
                    category=category,
                    rate=wilson(passed, len(tasks)),
                    seconds_per_solved=sum(each.seconds for each in tries) / passed if passed else None,
                    usd_per_solved=sum(known) / passed if whole else None,
                )
            )
    return found


def paired(first: Results, second: Results) -> list[tuple[str, Paired]]:
    """Each category over the tasks that both sides tried."""
    one, other = solved(first), solved(second)
    categories = first.run.tasks
    found = []
    for category in (*dict.fromkeys(categories.values()), ALL):
        names = [name for name in one if name in other and category in (ALL, categories[name])]
        if names:
            found.append((category, mcnemar((one[name], other[name]) for name in names)))
    return found


def head(results: Results) -> str:
    """What was tried, with all that names it."""
    run, facts = results.run, results.facts
    engine = " ".join(part for part in (facts.engine, facts.engine_version) if part)
    told = [
        f"{run.target} ({run.locality})" + (f", {engine}" if engine else ""),
        f"digest   {facts.digest}" if facts.digest else "",
        f"context  {run.context:,} tokens" if run.context else "",
        f"began    {run.started}, gridtie {run.version}, {run.samples} samples a task, temperature {run.temperature:g}",
    ]
    return "\n".join(line for line in told if line)


def report(results: Results) -> str:
    """Everything in plain text."""
    parts = [head(results), _table(lines(results))]
    if results.left_out:
        reasons: dict[str, list[str]] = {}
        for task, why in results.left_out.items():
            reasons.setdefault(why, []).append(task)
        parts.append("\n".join(f"Not tried: {why}: {', '.join(tasks)}" for why, tasks in reasons.items()))
    if results.run.spend:
        parts.append(f"Spent at clouds: ${results.spent:.4f} of ${results.run.spend:g}")
    if results.stopped:
        parts.append(f"Not finished: {results.stopped}")
    elif results.left:
        parts.append(f"Not finished: {len(results.left)} tries are left")
    return "\n\n".join(part for part in parts if part)


def comparison(first: Results, second: Results) -> str:
    """Two targets side by side, category by category."""
    by_category = [{line.category: line.rate for line in lines(each)} for each in (first, second)]
    rows = []
    for category, pair in paired(first, second):
        cells = [_rate(rates[category]) for rates in by_category]
        rows.append((category, *cells, str(pair.only_first), str(pair.only_second), f"{pair.p:.3g}", _verdict(pair)))
    columns = ("category", "A solved", "B solved", "A alone", "B alone", "p", "verdict")
    return f"A  {head(first)}\nB  {head(second)}\n\n{table(columns, rows, right=(3, 4, 5))}"


def worse(first: Results, second: Results) -> bool:
    """Whether the second solves fewer of the same tasks, beyond chance."""
    pair = dict(paired(first, second)).get(ALL)
    return pair is not None and pair.only_second < pair.only_first and pair.p < _CHANCE


# Of two that are alike, this share is called different.
_CHANCE = 0.05


def _verdict(pair: Paired) -> str:
    if pair.p >= _CHANCE:
        return "no difference beyond chance"
    return "B is better" if pair.only_second > pair.only_first else "B is worse"


def _table(found: Sequence[Line]) -> str:
    if not found:
        return "Nothing was tried."
    rows = [
        (
            line.category,
            _rate(line.rate),
            f"{line.seconds_per_solved:.1f} s" if line.seconds_per_solved is not None else "-",
            f"${line.usd_per_solved:.5f}" if line.usd_per_solved is not None else "-",
        )
        for line in found
    ]
    return table(
        ("category", "solved (95 % interval)", "time a solved task", "cloud spend a solved task"), rows, right=(2, 3)
    )


def _rate(rate: Rate) -> str:
    return f"{rate.passed} of {rate.total} ({rate.low:.0%} to {rate.high:.0%})"
