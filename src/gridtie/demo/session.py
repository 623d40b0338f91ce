"""Builds what is left of a comparison's tasks, side by side, and writes down what became of each run."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from time import monotonic

from gridtie.agents import pipeline, tasks
from gridtie.agents.client import RequestFailed
from gridtie.agents.judge import Runner
from gridtie.agents.screen import Screen
from gridtie.bench.errors import BenchError
from gridtie.bench.ledger_row import facts_of
from gridtie.demo.results import About, Broken, Built, Writer
from gridtie.demo.way import Way

# So many runs that broke off, one after another: the rest would, too.
_GIVE_UP = 3


def go(writer: Writer, ways: Sequence[Way], box: Runner, say: Callable[[str], None]) -> None:
    """Raises `BenchError` where there is no point in going on; what was built is written by then."""
    left, began, broken = writer.results.left, monotonic(), 0
    for place, (side, task, seed) in enumerate(left):
        way = ways[side]
        say(
            f"{task}, seed {seed}, {way.side.name}: {place + 1} of {len(left)}{_rest(monotonic() - began, place, left)}"
        )
        way.asked.clear()
        try:
            writer.add(_build(way, side, task, seed, box))
            broken = 0
        except (RequestFailed, BenchError) as error:
            asked = tuple(way.asked)
            writer.add(Broken(side=side, task=task, seed=seed, why=str(error), asked=asked))
            broken += 1
            if isinstance(error, BenchError) or broken >= _GIVE_UP:
                raise BenchError(str(error)) from None
        _introduce(writer, way, side)


def _build(way: Way, side: int, task: str, seed: int, box: Runner) -> Built:
    started = monotonic()
    result = pipeline.build(tasks.TASKS[task], way, box, seed, Screen(io.StringIO()))
    return Built(
        side=side,
        task=task,
        seed=seed,
        passed=result.passed,
        failure=(result.failure or ("" if result.passed else "hidden tests failed"))[:300],
        tries=result.coder_tries,
        seconds=monotonic() - started,
        asked=tuple(way.asked),
    )


def _introduce(writer: Writer, way: Way, side: int) -> None:
    """What answers there, once it is known."""
    entry = next((each.entry for each in way.asked if each.entry is not None and each.entry.status < 400), None)
    if side not in writer.results.about and entry is not None:
        writer.add(About(side=side, facts=facts_of(entry)))


def _rest(seconds: float, done: int, left: Sequence[object]) -> str:
    """The time left, if the rest goes as what was built so far."""
    if not done:
        return ""
    rest = seconds / done * (len(left) - done)
    return f", about {rest:.0f} s left" if rest < 90 else f", about {rest / 60:.0f} min left"
