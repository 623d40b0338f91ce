"""Rules: conditions that can hold, targets that exist, and no rule that contradicts itself or is never reached."""

from __future__ import annotations

from collections.abc import Iterator

from gridtie.config.canonical import canonical_rule
from gridtie.config.check_models import leaves, leaving
from gridtie.config.names import (
    CLAIM,
    CLAIM_WORDS,
    PRIVATE,
    SURFACES,
    canonical,
    repeated,
    same_but_for_case,
    unknown,
    well_named,
)
from gridtie.config.problems import KeyPath, Problem, closest, listed
from gridtie.config.schema import Routing, Rule


def rules(routing: Routing) -> Iterator[Problem]:
    """What is wrong with the rules, each by itself."""
    if not routing.rules:
        yield Problem(path=("rules",), what="no rule is given", fix="without one every request is refused")
    paths = [("rules", at) for at in range(len(routing.rules))]
    names, places = [rule.name for rule in routing.rules], [(*path, "name") for path in paths]
    yield from repeated(names, places, "rule")
    yield from same_but_for_case(names, places, "rule")
    for rule, path in zip(routing.rules, paths, strict=True):
        yield from well_named(rule.name, (*path, "name"))
        yield from _conditions(routing, rule, (*path, "when"))
        yield from _use(routing, rule, (*path, "use"))


def _conditions(routing: Routing, rule: Rule, path: KeyPath) -> Iterator[Problem]:
    when = rule.when
    for key in ("environment", "tags", "agent", "alias", "surface"):
        values: list[str] | None = getattr(when, key)
        if values is not None and not values:
            yield Problem(
                path=(*path, key), what="the list is empty: nothing can match", fix="name a value, or remove it"
            )
    environments = set(map(canonical, routing.environments))
    aliases = set(map(canonical, routing.models))
    for at, name in enumerate(when.environment or []):
        if canonical(name) not in environments:
            yield unknown("environment", name, routing.environments, (*path, "environment", at))
    for at, name in enumerate(when.alias or []):
        if canonical(name) not in aliases and not _may_be_a_model(routing, name):
            kind, known = ("model", _named(routing)) if "/" in name else ("alias", list(routing.models))
            yield unknown(kind, name, known, (*path, "alias", at))
    for key in ("tags", "agent"):
        for at, name in enumerate(getattr(when, key) or []):
            if not CLAIM.fullmatch(canonical(name)):
                yield Problem(
                    path=(*path, key, at),
                    what=f"{name!r} can never match: no header of a request carries it",
                    fix=f"wanted: {CLAIM_WORDS}",
                )
    for at, name in enumerate(when.surface or []):
        if name not in SURFACES:
            yield Problem(
                path=(*path, "surface", at),
                what=f'"{name}" is no surface',
                fix=closest(name, SURFACES) or f"known: {listed(SURFACES)}",
            )
    if when.larger_than is not None and when.smaller_than is not None and when.larger_than + 1 >= when.smaller_than:
        yield Problem(
            path=path, what=f"no prompt is larger than {when.larger_than} and smaller than {when.smaller_than} tokens"
        )


def _may_be_a_model(routing: Routing, name: str) -> bool:
    """Whether a model may go by this name: those have a tag or a path, and what a station has is not known here."""
    provider = routing.providers.get(name.partition("/")[0])
    if provider is None or provider.type in ("station", "pool"):
        return not {"/", ":"}.isdisjoint(name)
    return canonical(name) in map(canonical, _named(routing))


def _named(routing: Routing) -> list[str]:
    """Every `provider/model` that the file names."""
    local = [each.model for model in routing.models.values() for each in model.local_models() if "/" in each.model]
    return list(dict.fromkeys([*local, *(item for rule in routing.rules for item in rule.use if "/" in item)]))


def _use(routing: Routing, rule: Rule, path: KeyPath) -> Iterator[Problem]:
    if not rule.use:
        yield Problem(path=path, what="the list is empty", fix="name local, cloud or provider/model")
    yield from repeated(rule.use, [(*path, at) for at in range(len(rule.use))], "target")
    only_private = set(map(canonical, rule.when.tags or [])) == {PRIVATE}
    for at, item in enumerate(rule.use):
        here = (*path, at)
        locality = item
        if item not in ("local", "cloud"):
            name, slash, model = item.partition("/")
            provider = routing.providers.get(name)
            if not slash or not model:
                known = ["local", "cloud", *(f"{each}/MODEL" for each in routing.providers)]
                yield Problem(
                    path=here, what=f'"{item}" is no target', fix=closest(item, known) or f"allowed: {listed(known)}"
                )
                continue
            if provider is None:
                yield unknown("provider", name, routing.providers, here)
                continue
            if provider.type == "pool":
                yield Problem(path=here, what=f'"{name}" is a pool, which is part of `local`', fix='write "local"')
            if leaves(provider, model):
                yield leaving(item, here)
            locality = provider.locality
        if locality == rule.never:
            yield Problem(
                path=here,
                what=f'"{item}" contradicts `never: {rule.never}` of the same rule',
                fix="remove one of the two",
            )
        elif only_private and locality == "cloud":
            yield Problem(
                path=here,
                what=f"what is tagged {PRIVATE} never goes to a cloud, so this is never used",
                fix="remove it",
            )


def shadowed(rules: list[Rule]) -> Iterator[Problem]:
    """A rule below one that matches whenever it does never gives its `use`; `never` and `max_cost` still hold."""
    rules = [canonical_rule(rule) for rule in rules]
    for at, rule in enumerate(rules):
        if rule.never is not None or rule.max_cost is not None:
            continue
        for earlier in rules[:at]:
            if _covers(earlier, rule):
                yield Problem(
                    path=("rules", at),
                    what=f'"{rule.name}" can never match: "{earlier.name}" above it matches whenever it would',
                    fix="move it up, or remove it",
                )
                break


def _covers(outer: Rule, inner: Rule) -> bool:
    for key in ("environment", "tags", "agent", "alias", "surface"):
        wide, narrow = getattr(outer.when, key), getattr(inner.when, key)
        if wide is not None and (narrow is None or not set(narrow) <= set(wide)):
            return False
    low, high = outer.when.larger_than, outer.when.smaller_than
    if low is not None and (inner.when.larger_than is None or inner.when.larger_than < low):
        return False
    return high is None or (inner.when.smaller_than is not None and inner.when.smaller_than <= high)
