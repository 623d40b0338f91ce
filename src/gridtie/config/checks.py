"""What a type cannot say about a routing file: names that must exist, rules that contradict themselves.

Pure: a `Routing` in, problems out. Every check runs, so that one look at a file shows all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from gridtie.config.check_models import models
from gridtie.config.check_providers import providers
from gridtie.config.check_rules import rules, shadowed
from gridtie.config.names import RELAY, repeated, unknown, well_named
from gridtie.config.problems import KeyPath, Problem
from gridtie.config.schema import Routing


def check(routing: Routing) -> list[Problem]:
    """Every contradiction and dangling name in a routing file that has the right shape."""
    return [
        *_environments(routing),
        *providers(routing),
        *models(routing),
        *rules(routing),
        *shadowed(routing.rules),
        *_budgets(routing),
        *_numbers(routing),
        *_defaults(routing),
    ]


def _environments(routing: Routing) -> Iterator[Problem]:
    path = ("environments",)
    if not routing.environments:
        yield Problem(path=path, what="the list is empty", fix="name at least one environment")
    items = [(*path, at) for at in range(len(routing.environments))]
    yield from repeated(routing.environments, items, "environment")
    for name, item in zip(routing.environments, items, strict=True):
        yield from well_named(name, item)
        if name == RELAY:
            what = f'"{RELAY}" is the environment of what other stations\' routers pass on'
            yield Problem(path=item, what=what, fix="choose another name")


def _budgets(routing: Routing) -> Iterator[Problem]:
    paths = [("budgets", at) for at in range(len(routing.budgets))]
    yield from repeated([budget.name for budget in routing.budgets], [(*path, "name") for path in paths], "budget")
    for budget, path in zip(routing.budgets, paths, strict=True):
        if budget.environment is not None and budget.environment not in routing.environments:
            yield unknown("environment", budget.environment, routing.environments, (*path, "environment"))


def _numbers(routing: Routing) -> Iterator[Problem]:
    """Every number with a unit is above zero: zero would mean never to one reader and unlimited to another."""
    for name, provider in routing.providers.items():
        yield from _above_zero(provider.max_in_flight, ("providers", name, "max_in_flight"), "requests")
    for at, rule in enumerate(routing.rules):
        path: KeyPath = ("rules", at)
        yield from _above_zero(rule.max_cost, (*path, "max_cost"), "US dollars")
        yield from _at_least_zero(rule.max_wait, (*path, "max_wait"), "seconds")
        yield from _at_least_zero(rule.when.larger_than, (*path, "when", "larger_than"), "tokens")
        yield from _above_zero(rule.when.smaller_than, (*path, "when", "smaller_than"), "tokens")
    for at, budget in enumerate(routing.budgets):
        yield from _above_zero(budget.usd, ("budgets", at, "usd"), "US dollars")
    for key, value in msgspec.structs.asdict(routing.timeouts).items():
        yield from _above_zero(value, ("timeouts", key), "seconds")
    for key, value in msgspec.structs.asdict(routing.limits).items():
        unit = "bytes" if key.endswith("bytes") else "seconds" if key.endswith("timeout") else "of them"
        yield from _above_zero(value, ("limits", key), unit)


def _above_zero(value: float | None, path: KeyPath, unit: str) -> Iterator[Problem]:
    if value is not None and not (math.isfinite(value) and value > 0):
        yield Problem(path=path, what=f"found {value:g}, wanted more than 0 ({unit})")


def _at_least_zero(value: float | None, path: KeyPath, unit: str) -> Iterator[Problem]:
    if value is not None and not (math.isfinite(value) and value >= 0):
        yield Problem(path=path, what=f"found {value:g}, wanted 0 or more ({unit})")


def _defaults(routing: Routing) -> Iterator[Problem]:
    defaults = routing.defaults
    if defaults.alias not in routing.models:
        yield unknown("alias", defaults.alias, routing.models, ("defaults", "alias"))
    if defaults.environment not in routing.environments:
        yield unknown("environment", defaults.environment, routing.environments, ("defaults", "environment"))
    if "/" not in defaults.baseline:
        yield Problem(
            path=("defaults", "baseline"),
            what=f'"{defaults.baseline}" is no `provider/model`',
            fix="write it as in prices.json",
        )
    for at, host in enumerate(defaults.allowed_hosts):
        if "/" in host or not host or any(letter.isspace() for letter in host):
            yield Problem(
                path=("defaults", "allowed_hosts", at),
                what=f"{host!r} is no host name",
                fix="leave scheme and path off",
            )
