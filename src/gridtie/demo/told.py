"""What the demo came to on each side: solved tasks, and what one cost, by agent; as text and as a document."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from gridtie.agents import coder, documenter, planner, reviewer, tester
from gridtie.bench.text import machine_words
from gridtie.demo.results import Asked, Broken, Built, Results
from gridtie.host.table import indented
from gridtie.quality.stats import Paired, mcnemar, wilson
from gridtie.solved import lines as solved_lines
from gridtie.solved.lines import Line, Tried, rate, total
from gridtie.solved.money import Tariff, money

SCHEMA = 1
_FACTS = ("engine", "engine_version", "digest")
ALL = "all"
AGENTS = (planner.NAME, coder.NAME, tester.NAME, reviewer.NAME, documenter.NAME)
_STANDIN = (
    "The stand-in is a program that has the answers: its side proves that everything works, from the router to the "
    "prices, and says nothing of any model's quality, speed or cost."
)


def lines(results: Results, side: int, tariff: Tariff) -> list[Line]:
    """Each agent, and all of them: what its part in one solved task took on a side, over the runs of all sides."""
    asked: dict[tuple[str, int], list[Asked]] = defaultdict(list)
    runs: list[Broken | Built] = [*results.broken, *results.built.values()]
    for run in runs:
        if run.side == side:
            asked[run.task, run.seed] += run.asked
    entries = [each.entry for found in asked.values() for each in found if each.entry is not None]
    paid = money(entries, tariff)
    tried = []
    for task, seed in common(results):
        passed = results.built[side, task, seed].passed
        for agent in (*AGENTS, ALL):
            part = [each for each in asked[task, seed] if agent in (each.agent, ALL)]
            usd = total(paid[each.entry.id] if each.entry is not None else None for each in part)
            tried.append(Tried(agent, passed, sum(each.seconds for each in part), usd))
    return solved_lines.lines(tried)


def common(results: Results) -> list[tuple[str, int]]:
    """Tasks and seeds that were built on every side: only these are compared."""
    sides = range(len(results.run.sides))
    wanted = dict.fromkeys((task, seed) for _, task, seed in results.run.wanted)
    return [(task, seed) for task, seed in wanted if all((side, task, seed) in results.built for side in sides)]


def paired(results: Results) -> Paired:
    """How many of the same tasks and seeds only one of the first two sides solved."""
    built = results.built
    return mcnemar((built[0, *each].passed, built[1, *each].passed) for each in common(results))


def text(results: Results, tariff: Tariff) -> str:
    """For a terminal."""
    run = results.run
    done = len(common(results))
    parts = [
        *(f"{'AB'[at]}  {indented(_head(results, at))}" for at in range(len(run.sides))),
        _where(results),
        *([_solved(results), _table(results, tariff)] if done else ["Nothing was built on both sides."]),
        solved_lines.counted(tariff) if done else "",
        _STANDIN if any(side.standin for side in run.sides) else "",
        f"Spent at clouds: ${results.spent:.4f} of ${run.spend:g}" if run.spend else "",
    ]
    if why := unfinished(results):
        parts.append(f"Not finished: {why}")
    return "\n\n".join(part for part in parts if part)


def unfinished(results: Results) -> str:
    """Why it is not whole; "" where it is."""
    return results.stopped or (f"{len(results.left)} runs are left" if results.left else "")


def _head(results: Results, at: int) -> str:
    side, facts = results.run.sides[at], results.about.get(at)
    engine = " ".join(part for part in (facts.engine, facts.engine_version) if part) if facts else ""
    told = [
        f"{side.name} ({side.locality})" + (f", {engine}" if engine else ""),
        f"digest   {facts.digest}" if facts and facts.digest else "",
        f"file     {side.quantisation}" if side.quantisation else "",
        f"context  {side.context:,} tokens" if side.context else "",
    ]
    return "\n".join(line for line in told if line)


def _where(results: Results) -> str:
    run = results.run
    machine = machine_words(run.machine)
    last = run.seed + run.seeds - 1
    seeds = f"seed {run.seed}" if run.seeds == 1 else f"seeds {run.seed} to {last}"
    began = f"began    {run.started}, gridtie {run.version}"
    return "\n".join(
        [*([f"machine  {machine}"] if machine else []), began, f"tasks    {', '.join(run.tasks)}; {seeds}"]
    )


def _table(results: Results, tariff: Tariff) -> str:
    first, second = (lines(results, side, tariff) for side in (0, 1))
    # How a stand-in compares would say something of nobody.
    judged = not any(side.standin for side in results.run.sides)
    return solved_lines.comparison(first, second, judged=judged)


def _solved(results: Results) -> str:
    pair = paired(results)
    tried = len(common(results))
    rates = [rate(wilson(pair.both + alone, tried)) for alone in (pair.only_first, pair.only_second)]
    return (
        f"Solved: A {rates[0]}, B {rates[1]}; A alone {pair.only_first}, B alone {pair.only_second} "
        f"(McNemar's exact p = {pair.p:.3g})"
    )


def document(results: Results, tariff: Tariff) -> dict[str, Any]:
    """The same for programs; `gridtie report --quality` reads it. Money in US dollars, times in seconds."""
    run = results.run
    done = bool(common(results))
    return {
        "schema": SCHEMA,
        "version": run.version,
        "started": run.started,
        "machine": msgspec.to_builtins(run.machine),
        "tasks": list(run.tasks),
        "seed": run.seed,
        "seeds": run.seeds,
        "counted": tariff.words,
        # null: it is whole.
        "unfinished": unfinished(results) or None,
        "spent_usd": results.spent,
        "paired": msgspec.to_builtins(paired(results)),
        "sides": [
            {
                "target": side.target,
                "locality": side.locality,
                "standin": side.standin,
                "context": side.context,
                "quantisation": side.quantisation,
                **{name: getattr(results.about.get(at), name, "") for name in _FACTS},
                "agents": msgspec.to_builtins(lines(results, at, tariff)) if done else [],
            }
            for at, side in enumerate(run.sides)
        ],
    }
