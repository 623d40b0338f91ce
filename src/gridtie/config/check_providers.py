"""Providers: their names, their files, and which keys go with which type."""

from __future__ import annotations

from collections.abc import Iterator

from gridtie.config.check_addresses import addresses
from gridtie.config.check_prices import prices
from gridtie.config.key_file import not_a_path
from gridtie.config.names import RESERVED, canonical, same_but_for_case, well_named
from gridtie.config.problems import KeyPath, Problem
from gridtie.config.schema import Provider, Routing

# What the playbook provisioned: station.json says where it is, and it is never a cloud.
BY_NATURE = ("station", "pool")
# Settings that one type of provider has.
_OF_ONE_TYPE = {"pool": ("prefer", "private"), "station": ("max_relayed",)}


def providers(routing: Routing) -> Iterator[Problem]:
    """What is wrong with the providers."""
    for kind, fix in (("station", "a machine is one station"), ("pool", "a machine has one pool")):
        named = [name for name, provider in routing.providers.items() if provider.type == kind]
        for name in named[1:]:
            yield Problem(path=("providers", name), what=f'"{named[0]}" is a {kind} already', fix=fix)
    paths = [("providers", name) for name in routing.providers]
    yield from same_but_for_case(routing.providers, paths, "provider")
    for name, provider in routing.providers.items():
        path = ("providers", name)
        yield from well_named(name, path)
        if canonical(name) in RESERVED:
            yield Problem(path=path, what=f'"{name}" has a meaning of its own in rules', fix="choose another name")
        yield from _provisioned(provider, path) if provider.type in BY_NATURE else _remote(provider, path)
        for kind, keys in _OF_ONE_TYPE.items():
            if provider.type != kind:
                yield from _only_of(kind, keys, provider, path)
        yield from prices(routing, name, provider, path)


def _only_of(kind: str, keys: tuple[str, ...], provider: Provider, path: KeyPath) -> Iterator[Problem]:
    for key in keys:
        if getattr(provider, key) is not None:
            yield Problem(path=(*path, key), what=f"only a provider of type {kind} has {key}", fix="remove it")


def _provisioned(provider: Provider, path: KeyPath) -> Iterator[Problem]:
    for key in ("base_url", "key_file", "ca_file", "output_limit_field"):
        if getattr(provider, key) is not None:
            yield Problem(
                path=(*path, key),
                what=f"a {provider.type} is what was provisioned, and says itself where it is",
                fix=f"remove {key}, or give the provider the type of what answers there (ollama, openai)",
            )


def _remote(provider: Provider, path: KeyPath) -> Iterator[Problem]:
    if provider.base_url is None:
        yield Problem(
            path=path, what='the key "base_url" is missing', fix=f"a provider of type {provider.type} needs its address"
        )
        return
    yield from addresses(provider, path)
    yield from _files(provider, path)
    if provider.output_limit_field is not None and provider.type != "openai":
        yield Problem(
            path=(*path, "output_limit_field"),
            what=f"a provider of type {provider.type} has one field for it",
            fix="remove it; it is for providers of type openai",
        )


def _files(provider: Provider, path: KeyPath) -> Iterator[Problem]:
    if provider.key_file is not None:
        what, fix = not_a_path(provider.key_file)
        if what:
            yield Problem(path=(*path, "key_file"), what=what, fix=fix)
    if provider.ca_file is None:
        return
    where = (*path, "ca_file")
    if not provider.ca_file.isprintable() or provider.ca_file.startswith("-----BEGIN"):
        yield Problem(path=where, what="it is no path", fix="write the PEM text into a file, and its whole path here")
    elif not provider.ca_file.startswith("/"):
        yield Problem(path=where, what=f'"{provider.ca_file}" is relative', fix="write the whole path")
