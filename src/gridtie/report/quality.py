"""Results of `gridtie quality --json` beside the money: what a target solved, and of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class _Category(msgspec.Struct, frozen=True):
    category: str
    rate: Rate


class Side(msgspec.Struct, frozen=True):
    """One target, as `gridtie quality` tried it."""

    schema: int
    run: _Run
    facts: _Facts
    categories: list[_Category]
    # Task -> whether it is solved.
    solved: dict[str, bool]

    @property
    def rate(self) -> Rate:
        """Over all categories."""
        return next(line.rate for line in self.categories if line.category == _ALL)


def read(raw: bytes, name: str) -> list[Side]:
    """The document of one target, or a list of such. Raises `QuestionError`; `name` is only for messages."""
    wanted = "wanted: what `gridtie quality --json FILE` wrote"
    try:
        found = msgspec.json.decode(raw)
        sides = msgspec.convert(found if isinstance(found, list) else [found], list[Side])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise QuestionError(f"{name}: {error}; {wanted}") from error
    for side in sides:
        if side.schema != 1 or all(line.category != _ALL for line in side.categories):
            raise QuestionError(f"{name}: schema {side.schema} or a result without any task found; {wanted}")
    return sides


def beside(sides: Sequence[Side], models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The part of a report: each target, the first local one against the first cloud, and what nobody tried.

    `models` are the report's lines by model.
    """
    first = {place: next((side for side in sides if side.run.locality == place), None) for place in ("local", "cloud")}
    tried = {side.run.target for side in sides}
    return {
        "targets": [_line(side) for side in sides],
        "pair": _pair(first["local"], first["cloud"]),
        "not_tried": [row["group"] for row in models if row["local_requests"] and row["group"] not in tried],
    }


def _line(side: Side) -> dict[str, Any]:
    return {
        "target": side.run.target,
        "locality": side.run.locality,
        "started": side.run.started,
        **msgspec.to_builtins(side.facts),
        "categories": [{"category": line.category, **msgspec.to_builtins(line.rate)} for line in side.categories],
    }


def _pair(local: Side | None, cloud: Side | None) -> dict[str, Any] | None:
    """Over the tasks that both were given; None where there are not two sides."""
    if local is None or cloud is None:
        return None
    common = local.solved.keys() & cloud.solved.keys()
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
