"""Results of `gridtie quality` and of the demo beside the money: what a target solved, and what a solved task cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gridtie.report.question import QuestionError

_ALL = "all"


class _Run(msgspec.Struct, frozen=True):
    target: str
    locality: str
    started: str


class _Facts(msgspec.Struct, frozen=True):
    engine: str = ""
    engine_version: str = ""
    digest: str = ""


class Rate(msgspec.Struct, frozen=True):
    """So many tasks of so many, and the ends of Wilson's 95 % interval."""

    passed: int
    total: int
    low: float
    high: float


class Estimate(msgspec.Struct, frozen=True):
    """A figure of `n` tasks with the ends of its 95 % interval; None: open on that side."""

    value: float
    low: float | None
    high: float | None
    n: int


class Group(msgspec.Struct, frozen=True):
    """A category of tasks, or an agent of the demo. US dollars and seconds of one solved task; None: not known."""

    group: str
    rate: Rate
    usd: Estimate | None
    seconds: Estimate | None


class Side(msgspec.Struct, frozen=True):
    """One target, as `gridtie quality` tried it."""

    schema: int
    run: _Run
    facts: _Facts
    categories: list[Group]
    # How local answers were counted.
    counted: str
    # Task -> whether it is solved.
    solved: dict[str, bool]
    # Why not all tasks were tried, or how many tries are left; None: it came to its end.
    unfinished: str | int | None = None

    @property
    def rate(self) -> Rate:
        """Over all categories."""
        return next(line.rate for line in self.categories if line.group == _ALL)


class _DemoSide(msgspec.Struct, frozen=True):
    target: str
    locality: str
    # It proves that everything works, and says nothing of any model.
    standin: bool
    agents: list[Group]


class Demo(msgspec.Struct, frozen=True):
    """The demo, built on several targets."""

    schema: int
    started: str
    tasks: list[str]
    seeds: int
    counted: str
    sides: list[_DemoSide]


def read(raw: bytes, name: str) -> list[Side | Demo]:
    """One document, or a list of such. Raises `QuestionError`; `name` is only for messages."""
    wanted = "wanted: what `gridtie quality --json FILE` or `make demo COMPARE=1` wrote"
    try:
        found = msgspec.json.decode(raw)
        sides = [_read(each) for each in (found if isinstance(found, list) else [found])]
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise QuestionError(f"{name}: {error}; {wanted}") from error
    for side in sides:
        if isinstance(side, Demo):
            if side.schema != 1:
                raise QuestionError(f"{name}: schema {side.schema} of the demo found; {wanted}")
        elif side.schema != 1 or all(line.group != _ALL for line in side.categories):
            raise QuestionError(f"{name}: schema {side.schema} or a result without any task found; {wanted}")
    return sides


def _read(document: object) -> Side | Demo:
    is_demo = isinstance(document, dict) and "sides" in document
    return msgspec.convert(document, Demo) if is_demo else msgspec.convert(document, Side)


def beside(found: Sequence[Side | Demo], models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The part of a report: each target, the first local one against the first cloud, what nobody tried, and costs.

    `models` are the report's lines by model.
    """
    sides = [each for each in found if isinstance(each, Side)]
    first = {place: next((side for side in sides if side.run.locality == place), None) for place in ("local", "cloud")}
    tried = {side.run.target for side in sides}
    return {
        "targets": [_line(side) for side in sides],
        "pair": _pair(first["local"], first["cloud"]),
        "not_tried": [row["group"] for row in models if row["local_requests"] and row["group"] not in tried],
        "solved": [line for each in found for line in _costs(each)],
    }


def _costs(found: Side | Demo) -> Iterator[dict[str, Any]]:
    """What one solved task cost: a line for each group of each target."""
    if isinstance(found, Side):
        told = [("quality", found.run.target, found.run.locality, False, found.categories)]
    else:
        told = [("demo", side.target, side.locality, side.standin, side.agents) for side in found.sides]
    for of, target, locality, standin, groups in told:
        for each in groups:
            yield {
                "of": of,
                "target": target,
                "locality": locality,
                "standin": standin,
                "counted": found.counted,
                **msgspec.to_builtins(each),
            }


def _line(side: Side) -> dict[str, Any]:
    return {
        "target": side.run.target,
        "locality": side.run.locality,
        "started": side.run.started,
        "unfinished": side.unfinished,
        **msgspec.to_builtins(side.facts),
        "categories": [{"category": line.group, **msgspec.to_builtins(line.rate)} for line in side.categories],
    }


def _pair(local: Side | None, cloud: Side | None) -> dict[str, Any] | None:
    """Over the tasks that both were given; None where there are not two sides, or no such task."""
    if local is None or cloud is None or not (common := local.solved.keys() & cloud.solved.keys()):
        return None
    here, there = (sum(side.solved[task] for task in common) for side in (local, cloud))
    both = sum(local.solved[task] and cloud.solved[task] for task in common)
    return {
        "local": local.run.target,
        "cloud": cloud.run.target,
        "tasks": len(common),
        "local_solved": here,
        "cloud_solved": there,
        "only_local": here - both,
        "only_cloud": there - both,
    }
