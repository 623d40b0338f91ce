"""What a routing file may say and hardly means: told wherever the configuration is shown, and in force all the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from gridtie.config.load import RoutingFile
from gridtie.config.problems import KeyPath, Problem, closest, listed
from gridtie.config.schema import Model, Routing, Rule
from gridtie.host.purpose_names import FORMER_ALIASES, FORMER_PURPOSES

# What ends with a request, whatever is written for it.
_WITHIN_TOTAL = ("connect", "first_token", "first_token_cold", "between_tokens", "whole")


def warnings(file: RoutingFile, keys: Collection[str] | None) -> list[Problem]:
    """Each with file and line; `keys` are the names in keys.json, in canonical form, None where they are not known."""
    found = [
        *_times(file),
        *_retries(file.routing),
        *_purposes(file.routing),
        *_former_names(file.routing),
        *(() if keys is None else _budgets(file.routing, keys)),
    ]
    return [file.source.locate(problem) for problem in found]


def _times(file: RoutingFile) -> Iterator[Problem]:
    """Of what is written alone: whoever lowers the total means the defaults to follow."""
    for owner, path, total in _owners(file.routing):
        for key in _WITHIN_TOTAL:
            here, value = (*path, "timeouts", key), getattr(owner.timeouts, key)
            if value is not None and value > total and here in file.source.lines:
                yield Problem(
                    path=here,
                    what=f"found {value:g} s, which never passes: timeouts.total ends a request after {total:g} s",
                    fix="lower it, or raise timeouts.total",
                )


def _owners(routing: Routing) -> Iterator[tuple[Routing | Model | Rule, KeyPath, float]]:
    """Who may have time-outs, and the longest time that a request may take with them."""
    file, aliases, rules = routing.timeouts.total, routing.models.items(), list(enumerate(routing.rules))
    of_rules = [total for _, rule in rules if (total := rule.timeouts.total) is not None]
    of_aliases = [total for _, model in aliases if (total := model.timeouts.total) is not None]
    yield routing, (), max([file, *of_aliases, *of_rules])
    for name, model in aliases:
        yield model, ("models", name), max([model.timeouts.total or file, *of_rules])
    for at, rule in rules:
        yield rule, ("rules", at), rule.timeouts.total or max([file, *of_aliases])


def _retries(routing: Routing) -> Iterator[Problem]:
    """Each is an attempt, and so is the first."""
    most = routing.limits.attempts - 1
    for owner, path, _ in _owners(routing):
        if owner.retries.count is not None and owner.retries.count > most:
            yield Problem(
                path=(*path, "retries", "count"),
                what=f"found {owner.retries.count}, and limits.attempts ends a request after {most + 1} attempts",
                fix="lower it, or raise limits.attempts",
            )


def _former_names(routing: Routing) -> Iterator[Problem]:
    for alias, model in routing.models.items():
        if model.floor is not None:
            yield Problem(
                path=("models", alias, "floor"),
                what="`floor` is called `min_score` since 1.1.0; both hold",
                fix=f"write `min_score: {model.floor:g}`",
            )
        if (now := FORMER_ALIASES.get(alias)) and now not in routing.models:
            yield Problem(
                path=("models", alias),
                what=f'the alias "{alias}" is called "{now}" since 1.1.0; it answers to both',
                fix=f"write `{now}:`",
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
