"""Providers: addresses that can be used safely, and prices of models that are used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

import msgspec

from gridtie.config.names import RESERVED, well_named
from gridtie.config.problems import KeyPath, Problem, closest, listed
from gridtie.config.schema import Provider, Routing

# What the playbook provisioned: station.json says where it is, and it is never a cloud.
BY_NATURE = ("station", "pool")

# Not local, whatever a file says: a slip of the pen here would send private prompts away.
_PUBLIC_HOSTS = frozenset({"api.openai.com", "api.anthropic.com", "openrouter.ai", "ollama.com"})


def providers(routing: Routing) -> Iterator[Problem]:
    """What is wrong with the providers."""
    for kind, fix in (("station", "a machine is one station"), ("pool", "a machine has one pool")):
        named = [name for name, provider in routing.providers.items() if provider.type == kind]
        for name in named[1:]:
            yield Problem(path=("providers", name), what=f'"{named[0]}" is a {kind} already', fix=fix)
    for name, provider in routing.providers.items():
        path = ("providers", name)
        yield from well_named(name, path)
        if name in RESERVED:
            yield Problem(path=path, what=f'"{name}" has a meaning of its own in rules', fix="choose another name")
        yield from _provisioned(provider, path) if provider.type in BY_NATURE else _remote(provider, path)
        if provider.type != "pool":
            yield from _only_of_pools(provider, path)
        yield from _priced(routing, name, provider, path)


def _only_of_pools(provider: Provider, path: KeyPath) -> Iterator[Problem]:
    for key in ("prefer", "private"):
        if getattr(provider, key) is not None:
            yield Problem(path=(*path, key), what=f"only a provider of type pool has {key}", fix="remove it")


def _provisioned(provider: Provider, path: KeyPath) -> Iterator[Problem]:
    for key in ("base_url", "key_file", "ca_file"):
        if getattr(provider, key) is not None:
            yield Problem(
                path=(*path, key),
                what=f"a {provider.type} is what was provisioned, and says itself where it is",
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
    if provider.ca_file is not None and not provider.ca_file.startswith("/"):
        yield Problem(path=(*path, "ca_file"), what=f'"{provider.ca_file}" is relative', fix="write the whole path")
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


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine, by its spelling alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
