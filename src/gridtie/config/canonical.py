"""A routing file that holds, with every name that is compared in its canonical form. The one place that does it."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from gridtie.config.names import canonical
from gridtie.config.schema import Budget, Defaults, Routing, Rule


def canonicalised(routing: Routing) -> Routing:
    """The same routing: tags, environments, agents, aliases, names of keys and origins in canonical form.

    An alias's own spelling stays in `Model.written`. What goes upstream (models, providers) is not touched.
    """
    return replace(
        routing,
        environments=tuple(_each(routing.environments)),
        models={canonical(alias): replace(model, written=alias) for alias, model in routing.models.items()},
        rules=[canonical_rule(rule) for rule in routing.rules],
        budgets=[_budget(budget) for budget in routing.budgets],
        defaults=_defaults(routing.defaults),
    )


def canonical_rule(rule: Rule) -> Rule:
    """A rule whose conditions are in canonical form."""
    when = rule.when
    names = {
        key: _each(values)
        for key in ("environment", "tags", "agent", "alias")
        if (values := getattr(when, key)) is not None
    }
    return replace(rule, when=replace(when, **names)) if names else rule


def _budget(budget: Budget) -> Budget:
    return replace(
        budget,
        environment=None if budget.environment is None else canonical(budget.environment),
        key=None if budget.key is None else canonical(budget.key),
    )


def _defaults(defaults: Defaults) -> Defaults:
    return replace(
        defaults,
        alias=canonical(defaults.alias),
        environment=canonical(defaults.environment),
        allowed_hosts=_each(defaults.allowed_hosts),
        allowed_origins=_each(defaults.allowed_origins),
    )


def _each(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(map(canonical, names)))
