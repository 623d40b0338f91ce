"""What a type cannot say about a routing file: names that must exist, rules that contradict themselves.

Pure: a `Routing` in, problems out. Every check runs, so that one look at a file shows all of it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import msgspec

from gridtie.config.problems import KeyPath, Problem, closest, listed
from gridtie.config.schema import Model, Provider, Routing, Rule

SURFACES = ("openai", "anthropic", "ollama")
# What a model of the station may be for, as the catalogue says it.
PURPOSES = ("code", "chat", "probe")
# The tag that every request may carry to stay on this machine; no rule can loosen it.
PRIVATE = "private"

# Rule and provider names go into response headers, metric labels and `provider/model`.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = ("local", "cloud", "auto")
# Not local, whatever a file says: a slip of the pen here would send private prompts away.
_PUBLIC_HOSTS = frozenset({"api.openai.com", "api.anthropic.com", "openrouter.ai", "ollama.com"})


def check(routing: Routing) -> list[Problem]:
    """Every contradiction and dangling name in a routing file that has the right shape."""
    return [
        *_environments(routing),
        *_providers(routing),
        *_models(routing),
        *_rules(routing),
        *_shadowed(routing.rules),
        *_budgets(routing),
        *_numbers(routing),
        *_defaults(routing),
    ]


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine, by its spelling alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


# Names


def _unknown(kind: str, found: str, allowed: Iterable[str], path: KeyPath) -> Problem:
    names = list(allowed)
    return Problem(
        path=path, what=f'"{found}" is no {kind} of this file', fix=closest(found, names) or f"known: {listed(names)}"
    )


def _repeated(names: Iterable[str], paths: Iterable[KeyPath], kind: str) -> Iterator[Problem]:
    seen: Counter[str] = Counter()
    for name, path in zip(names, paths, strict=True):
        if seen[name]:
            yield Problem(path=path, what=f'"{name}" is given twice', fix=f"each {kind} is named once")
        seen[name] += 1


def _well_named(name: str, path: KeyPath) -> Iterator[Problem]:
    if not _NAME.fullmatch(name):
        yield Problem(
            path=path, what=f"the name {name!r} does not fit a header", fix="use letters, digits, dots and dashes"
        )


def _environments(routing: Routing) -> Iterator[Problem]:
    path = ("environments",)
    if not routing.environments:
        yield Problem(path=path, what="the list is empty", fix="name at least one environment")
    items = [(*path, at) for at in range(len(routing.environments))]
    yield from _repeated(routing.environments, items, "environment")
    for name, item in zip(routing.environments, items, strict=True):
        yield from _well_named(name, item)


# Providers


def _providers(routing: Routing) -> Iterator[Problem]:
    stations = [name for name, provider in routing.providers.items() if provider.type == "station"]
    for name in stations[1:]:
        yield Problem(
            path=("providers", name), what=f'"{stations[0]}" is a station already', fix="a machine is one station"
        )
    for name, provider in routing.providers.items():
        path = ("providers", name)
        yield from _well_named(name, path)
        if name in _RESERVED:
            yield Problem(path=path, what=f'"{name}" has a meaning of its own in rules', fix="choose another name")
        yield from _station(provider, path) if provider.type == "station" else _remote(provider, path)
        yield from _priced(routing, name, provider, path)


def _station(provider: Provider, path: KeyPath) -> Iterator[Problem]:
    for key in ("base_url", "key_file", "ca_file"):
        if getattr(provider, key) is not None:
            yield Problem(
                path=(*path, key),
                what="a station is what was provisioned on this machine, and says itself where it is",
                fix=f"remove {key}, or give the provider the type of what answers there (ollama, openai)",
            )


def _remote(provider: Provider, path: KeyPath) -> Iterator[Problem]:
    where = (*path, "base_url")
    if provider.base_url is None:
        yield Problem(
            path=path, what='the key "base_url" is missing', fix=f"a provider of type {provider.type} needs its address"
        )
        return
    url, fault = _parsed(provider.base_url)
    if url is None:
        yield Problem(path=where, what=f"{provider.base_url!r} {fault}", fix="wanted: https://host[:port][/path]")
        return
    host = url.hostname or ""
    if url.scheme == "http" and provider.locality == "cloud" and not is_loopback(host):
        yield Problem(
            path=where,
            what=f"prompts and key would travel to {host} unencrypted",
            fix="use https, or declare `locality: local` if it is a machine of yours",
        )
    if provider.locality == "local" and host in _PUBLIC_HOSTS:
        yield Problem(path=(*path, "locality"), what=f"{host} is not local", fix="remove `locality: local`")
    if provider.type in ("anthropic", "ollama") and url.path.rstrip("/").endswith(("/v1", "/api")):
        yield Problem(
            path=where,
            what=f"{url.path!r} is added by the router for providers of type {provider.type}",
            fix="leave it off",
        )


def _parsed(text: str) -> tuple[SplitResult | None, str]:
    try:
        url = urlsplit(text)
        # Read for its check: a port beyond 65535 raises.
        _ = url.port
    except ValueError as error:
        return None, f"is no address ({error})"
    if url.scheme not in ("http", "https"):
        return None, "does not begin with https:// or http://"
    if not url.hostname or any(letter.isspace() for letter in text):
        return None, "names no host"
    if url.username is not None or url.password is not None:
        return None, "carries a credential; keys belong into key_file"
    if url.query or url.fragment:
        return None, "carries a query or fragment"
    return url, ""


def _priced(routing: Routing, name: str, provider: Provider, path: KeyPath) -> Iterator[Problem]:
    used = [model.cloud.model for model in routing.models.values() if model.cloud and model.cloud.provider == name]
    refs = [ref for rule in routing.rules for ref in rule.use]
    for model in routing.models.values():
        refs += [model.local] if isinstance(model.local, str) else model.local or []
    used += [ref.removeprefix(f"{name}/") for ref in refs if ref.startswith(f"{name}/")]
    for model_name, price in provider.prices.items():
        here = (*path, "prices", model_name)
        if model_name not in used:
            yield Problem(
                path=here,
                what=f'no alias and no rule uses the model "{model_name}" of this provider',
                fix=closest(model_name, used) or f"used: {listed(used)}",
            )
        for key, value in msgspec.structs.asdict(price).items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                yield Problem(
                    path=(*here, key), what=f"found {value:g}, wanted US dollars per million tokens, 0 or more"
                )


# Models


def _models(routing: Routing) -> Iterator[Problem]:
    if not routing.models:
        yield Problem(path=("models",), what="no alias is defined", fix="applications need one to ask for")
    for alias, model in routing.models.items():
        path = ("models", alias)
        if not alias or any(letter.isspace() or not letter.isprintable() for letter in alias):
            yield Problem(path=path, what=f"the alias {alias!r} is empty or has spaces", fix="use one word")
        yield from _alias(routing, model, path)


def _alias(routing: Routing, model: Model, path: KeyPath) -> Iterator[Problem]:
    local = [model.local] if isinstance(model.local, str) else model.local
    if local is None and model.cloud is None:
        yield Problem(path=path, what="neither local nor cloud is set", fix="an alias needs at least one of them")
    if local is not None and not local:
        yield Problem(path=(*path, "local"), what="the list is empty", fix="name a model, or write `local: null`")
    for at, name in enumerate(local or []):
        here = (*path, "local", at) if isinstance(model.local, list) else (*path, "local")
        yield from _local_name(routing, name, here)
    if model.purpose not in PURPOSES:
        yield Problem(
            path=(*path, "purpose"),
            what=f'"{model.purpose}" is no purpose',
            fix=closest(model.purpose, PURPOSES) or f"known: {listed(PURPOSES)}",
        )
    if model.cloud is not None:
        yield from _cloud(routing, model.cloud.provider, (*path, "cloud", "provider"))
    if model.baseline is not None and "/" not in model.baseline:
        yield Problem(path=(*path, "baseline"), what=f'"{model.baseline}" is no `provider/model`')
    if model.floor is not None and not 0 <= model.floor <= 100:
        yield Problem(path=(*path, "floor"), what=f"found {model.floor:g}, wanted a score from 0 to 100")


def _local_name(routing: Routing, name: str, path: KeyPath) -> Iterator[Problem]:
    provider_name, slash, model = name.partition("/")
    provider = routing.providers.get(provider_name) if slash else None
    if not name or any(letter.isspace() for letter in name) or (slash and not model):
        yield Problem(path=path, what=f"{name!r} is no model name")
    elif provider is None:
        if not any(each.type == "station" for each in routing.providers.values()):
            known = [each for each, it in routing.providers.items() if it.locality == "local"]
            yield Problem(
                path=path,
                what=f'"{name}" is looked for on the station, and no provider has the type station',
                fix=f"add one, or write provider/model with a local provider: {listed(known)}",
            )
    elif provider.locality != "local":
        yield Problem(
            path=path,
            what=f'"{provider_name}" is a cloud provider',
            fix="put it under `cloud`, or declare `locality: local` at the provider if it is a machine of yours",
        )


def _cloud(routing: Routing, name: str, path: KeyPath) -> Iterator[Problem]:
    provider = routing.providers.get(name)
    if provider is None:
        clouds = [each for each, it in routing.providers.items() if it.locality == "cloud"]
        yield _unknown("provider", name, clouds, path)
    elif provider.locality != "cloud":
        yield Problem(path=path, what=f'"{name}" is local', fix=f"put it under `local`, as {name}/MODEL")


# Rules


def _rules(routing: Routing) -> Iterator[Problem]:
    if not routing.rules:
        yield Problem(path=("rules",), what="no rule is given", fix="without one every request is refused")
    paths = [("rules", at) for at in range(len(routing.rules))]
    yield from _repeated([rule.name for rule in routing.rules], [(*path, "name") for path in paths], "rule")
    for rule, path in zip(routing.rules, paths, strict=True):
        yield from _well_named(rule.name, (*path, "name"))
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
    for at, name in enumerate(when.environment or []):
        if name not in routing.environments:
            yield _unknown("environment", name, routing.environments, (*path, "environment", at))
    for at, name in enumerate(when.alias or []):
        # A model's own name may be asked for too, and those have a tag or a path.
        if name not in routing.models and not ({"/", ":"} & set(name)):
            yield _unknown("alias", name, routing.models, (*path, "alias", at))
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


def _use(routing: Routing, rule: Rule, path: KeyPath) -> Iterator[Problem]:
    if not rule.use:
        yield Problem(path=path, what="the list is empty", fix="name local, cloud or provider/model")
    yield from _repeated(rule.use, [(*path, at) for at in range(len(rule.use))], "target")
    private = PRIVATE in (rule.when.tags or [])
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
                yield _unknown("provider", name, routing.providers, here)
                continue
            locality = provider.locality
        if locality == rule.never:
            yield Problem(path=here, what=f'"{item}" contradicts `never: {rule.never}` of the same rule')
        elif private and locality == "cloud" and set(rule.when.tags or []) == {PRIVATE}:
            yield Problem(
                path=here,
                what=f"what is tagged {PRIVATE} never goes to a cloud, so this is never used",
                fix="remove it",
            )


def _shadowed(rules: list[Rule]) -> Iterator[Problem]:
    """A rule below one that matches whenever it does never gives its `use`; `never` and `max_cost` still hold."""
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


# Money and numbers


def _budgets(routing: Routing) -> Iterator[Problem]:
    paths = [("budgets", at) for at in range(len(routing.budgets))]
    yield from _repeated([budget.name for budget in routing.budgets], [(*path, "name") for path in paths], "budget")
    for budget, path in zip(routing.budgets, paths, strict=True):
        if budget.environment is not None and budget.environment not in routing.environments:
            yield _unknown("environment", budget.environment, routing.environments, (*path, "environment"))


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
        yield _unknown("alias", defaults.alias, routing.models, ("defaults", "alias"))
    if defaults.environment not in routing.environments:
        yield _unknown("environment", defaults.environment, routing.environments, ("defaults", "environment"))
    if "/" not in defaults.baseline:
        yield Problem(path=("defaults", "baseline"), what=f'"{defaults.baseline}" is no `provider/model`')
    for at, host in enumerate(defaults.allowed_hosts):
        if "/" in host or not host or any(letter.isspace() for letter in host):
            yield Problem(
                path=("defaults", "allowed_hosts", at),
                what=f"{host!r} is no host name",
                fix="leave scheme and path off",
            )
