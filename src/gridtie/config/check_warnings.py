"""What a routing file may say and hardly means: told wherever the configuration is shown, and in force all the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gridtie.config.load import RoutingFile
from gridtie.config.problems import Problem, closest, listed
from gridtie.config.schema import Routing
from gridtie.host.purpose_names import FORMER_PURPOSES

# What ends with a request, whatever is written for it.
_WITHIN_TOTAL = ("connect", "first_token", "first_token_cold", "between_tokens", "whole")


def warnings(file: RoutingFile, keys: Collection[str] | None) -> list[Problem]:
    """Each with file and line; `keys` are the names in keys.json, in canonical form, None where they are not known."""
    found = [*_times(file), *_purposes(file.routing), *(() if keys is None else _budgets(file.routing, keys))]
    return [file.source.locate(problem) for problem in found]


def _times(file: RoutingFile) -> Iterator[Problem]:
    """Of what is written alone: whoever lowers the total means the defaults to follow."""
    timeouts = file.routing.timeouts
    for key in _WITHIN_TOTAL:
        path, value = ("timeouts", key), getattr(timeouts, key)
        if value is not None and value > timeouts.total and path in file.source.lines:
            yield Problem(
                path=path,
                what=f"found {value:g} s, which never passes: timeouts.total ends a request after {timeouts.total:g} s",
                fix="lower it, or raise timeouts.total",
            )


def _purposes(routing: Routing) -> Iterator[Problem]:
    for alias, model in routing.models.items():
        if now := FORMER_PURPOSES.get(model.purpose):
            yield Problem(
                path=("models", alias, "purpose"),
                what=f'the purpose "{model.purpose}" is called "{now}" since 1.1.0; both hold',
                fix=f"write `purpose: {now}`",
            )


def _budgets(routing: Routing, keys: Collection[str]) -> Iterator[Problem]:
    """Keys come and go beside the routing file, so that one which is not there is no mistake in it."""
    for at, budget in enumerate(routing.budgets):
        if budget.key is not None and budget.key not in keys:
            yield Problem(
                path=("budgets", at, "key"),
                what=f'there is no key "{budget.key}", so the budget "{budget.name}" limits nobody',
                fix=closest(budget.key, keys) or f"known: {listed(sorted(keys))} (`gridtie keys list`)",
            )
