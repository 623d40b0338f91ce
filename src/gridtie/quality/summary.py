"""Pass rates by category with intervals, what a solved task took, and two targets side by side."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import fmean

from gridtie.host.table import indented, table
from gridtie.quality.results import Results, Try
from gridtie.quality.stats import Paired, mcnemar
from gridtie.solved import lines as solved_lines
from gridtie.solved.lines import Line, Tried, mean, rate
from gridtie.solved.money import Tariff, money

ALL = "all"


def solved(results: Results) -> dict[str, bool]:
    """Of each task that was tried whether more than half of its samples are right; samples are no tasks."""
    return {task: 2 * sum(each.passed for each in tried) > len(tried) for task, tried in _by_task(results).items()}


def _by_task(results: Results) -> dict[str, list[Try]]:
    tries: dict[str, list[Try]] = {}
    for each in results.tries.values():
        tries.setdefault(each.task, []).append(each)
    return tries


def lines(results: Results, tariff: Tariff, among: Collection[str] | None = None) -> list[Line]:
    """Each category that was tried, and all of them, with what a solved task cost; `among`: of these tasks alone."""
    tasks = [each for name, each in tried(results, tariff).items() if among is None or name in among]
    return solved_lines.lines(tasks, results.run.tasks.values(), ALL)


def tried(results: Results, tariff: Tariff) -> dict[str, Tried]:
    """Each task; its group is its category. Samples repeat a try, so their mean is what one took."""
    paid = money([each.entry for each in results.tries.values() if each.entry is not None], tariff)
    verdicts = solved(results)
    return {
        task: Tried(
            group=results.run.tasks[task],
            solved=verdicts[task],
            seconds=fmean(each.seconds for each in samples),
            usd=mean(paid[each.entry.id] if each.entry is not None else None for each in samples),
        )
        for task, samples in _by_task(results).items()
    }


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
    samples = "1 sample" if run.samples == 1 else f"{run.samples} samples"
    told = [
        f"{run.target} ({run.locality})" + (f", {engine}" if engine else ""),
        f"digest   {facts.digest}" if facts.digest else "",
        f"file     {run.quantisation}" if run.quantisation else "",
        f"context  {run.context:,} tokens" if run.context else "",
        f"began    {run.started}, gridtie {run.version}, {samples} a task, temperature {run.temperature:g}",
    ]
    return "\n".join(line for line in told if line)


def report(results: Results, tariff: Tariff) -> str:
    """Everything in plain text."""
    found = lines(results, tariff)
    parts = [head(results), _table(found), solved_lines.counted(tariff) if found else ""]
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


def comparison(first: Results, second: Results, tariff: Tariff) -> str:
    """Two targets side by side over the tasks of both: what they solve, and what a solved task cost there."""
    common = solved(first).keys() & solved(second).keys()
    sides = [lines(each, tariff, common) for each in (first, second)]
    rates = [{line.group: rate(line.rate) for line in side} for side in sides]
    rows = [
        (name, rates[0][name], rates[1][name], *(str(pair.only_first), str(pair.only_second), f"{pair.p:.3g}"), word)
        for name, pair in paired(first, second)
        for word in [_verdict(pair)]
    ]
    columns = ("category", "A solved", "B solved", "A alone", "B alone", "p", "verdict")
    parts = [
        *(f"{name}  {indented(head(each))}" for name, each in (("A", first), ("B", second))),
        table(columns, rows, right=(3, 4, 5)) if rows else "No task was given to both.",
        *([solved_lines.comparison(*sides), solved_lines.counted(tariff)] if rows else []),
    ]
    return "\n\n".join(parts)


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
    rows = [(line.group, rate(line.rate), solved_lines.usd(line), solved_lines.seconds(line)) for line in found]
    return table(("category", "solved", "money a solved task", "time a solved task"), rows, right=(2, 3))
