"""What a type cannot say about a routing file: names that must exist, rules that contradict themselves.

Pure: a `Routing` in, problems out. Every check runs, so that one look at a file shows all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from gridtie.config.check_models import models
from gridtie.config.check_numbers import numbers
from gridtie.config.check_providers import providers
from gridtie.config.check_rules import rules, shadowed
from gridtie.config.names import PRIVATE, RELAY, canonical, repeated, same_but_for_case, unknown, well_named
from gridtie.config.problems import Problem
from gridtie.config.redact import holds_key
from gridtie.config.schema import KEY_BUDGETS, Routing
from gridtie.host.origins import fault

# Names with a meaning of their own, which an environment of that name would not have.
_TAKEN = {
    RELAY: f'"{RELAY}" is the environment of what other stations\' routers pass on',
    PRIVATE: f'"{PRIVATE}" is a tag: an environment of that name would keep no request on this machine',
}


def check(routing: Routing) -> list[Problem]:
    """Every contradiction and dangling name in a routing file that has the right shape."""
    return [
        *_environments(routing),
        *providers(routing),
        *models(routing),
        *rules(routing),
        *shadowed(routing.rules),
        *_budgets(routing),
        *numbers(routing),
        *_defaults(routing),
    ]


def _environments(routing: Routing) -> Iterator[Problem]:
    path = ("environments",)
    if not routing.environments:
        yield Problem(path=path, what="the list is empty", fix="name at least one environment")
    items = [(*path, at) for at in range(len(routing.environments))]
    yield from repeated(routing.environments, items, "environment")
    yield from same_but_for_case(routing.environments, items, "environment")
    for name, item in zip(routing.environments, items, strict=True):
        yield from well_named(name, item)
        if what := _TAKEN.get(canonical(name)):
            yield Problem(path=item, what=what, fix="choose another name")


def _budgets(routing: Routing) -> Iterator[Problem]:
    paths = [("budgets", at) for at in range(len(routing.budgets))]
    names, places = [budget.name for budget in routing.budgets], [(*path, "name") for path in paths]
    yield from repeated(names, places, "budget")
    yield from same_but_for_case(names, places, "budget")
    environments = set(map(canonical, routing.environments))
    for budget, path in zip(routing.budgets, paths, strict=True):
        if canonical(budget.name).startswith(KEY_BUDGETS):
            yield Problem(
                path=(*path, "name"),
                what=f'"{KEY_BUDGETS}..." is what limits of keys are called',
                fix="choose another name",
            )
        if budget.environment is not None and canonical(budget.environment) not in environments:
            yield unknown("environment", budget.environment, routing.environments, (*path, "environment"))
        if budget.key is not None and (holds_key(budget.key) or budget.key.startswith("gt-")):
            yield Problem(
                path=(*path, "key"),
                what="it looks like a key itself, so it is not shown",
                fix="write the key's name, as `gridtie keys list` shows it",
            )


def _defaults(routing: Routing) -> Iterator[Problem]:
    defaults = routing.defaults
    if canonical(defaults.alias) not in set(map(canonical, routing.models)):
        yield unknown("alias", defaults.alias, routing.models, ("defaults", "alias"))
    if canonical(defaults.environment) not in set(map(canonical, routing.environments)):
        yield unknown("environment", defaults.environment, routing.environments, ("defaults", "environment"))
    if "/" not in defaults.baseline:
        yield Problem(
            path=("defaults", "baseline"),
            what=f'"{defaults.baseline}" is no `provider/model`',
            fix="write it as in prices.json",
        )
    for at, ref in enumerate(routing.costs.baselines):
        if "/" not in ref:
            yield Problem(
                path=("costs", "baselines", at),
                what=f'"{ref}" is no `provider/model`',
                fix="write it as in prices.json",
            )
    for at, host in enumerate(defaults.allowed_hosts):
        if not host or any(letter in "/*@" or letter.isspace() for letter in host):
            yield Problem(
                path=("defaults", "allowed_hosts", at),
                what=f"{host!r} is no host name",
                fix="leave scheme and path off; a * stands for nothing here",
            )
    for at, origin in enumerate(defaults.allowed_origins):
        what, fix = fault(canonical(origin))
        if what:
            yield Problem(path=("defaults", "allowed_origins", at), what=what, fix=fix)
