"""The keys of clouds that an inventory holds: which file each belongs into, and what is wrong with them.

Nothing of a key is in any problem.
"""

from __future__ import annotations

import posixpath
from typing import Any, Callable, Iterator, Mapping

Problem = dict[str, str]

# Where the router sees its configuration, whatever the directory is called on the machine.
_SEEN_AS = "/etc/gridtie"
_DIRECTORY = "secrets/"
# Those of other stations' routers.
_TAKEN = "secrets/pool-"


def place(key_file: str) -> str:
    """The file relative to the configuration directory, as the routing file means it; "" where it lies elsewhere."""
    path = posixpath.normpath(key_file)
    path = posixpath.relpath(path, _SEEN_AS) if posixpath.isabs(path) else path
    return path if path.startswith(_DIRECTORY) and not path.startswith(_TAKEN) else ""


def problems(keys: Any, providers: Mapping[str, str | None], read: Callable[[bytes], str]) -> Iterator[Problem]:
    """``providers`` has every provider's ``key_file``; ``read`` raises ValueError for what is no key, and shows none of
    it.
    """
    if not isinstance(keys, Mapping):
        return  # It has its own line in the list.
    for name, key in keys.items():
        key_file = providers.get(name)
        if name not in providers:
            known = ", ".join(each for each, file in providers.items() if file) or "none"
            yield _problem(
                f"gridtie_secrets has a key for {name!r}, which is no provider of the routing file",
                f"correct the name; providers with a key_file: {known}",
            )
        elif not key_file:
            yield _problem(
                f"gridtie_secrets has a key for {name}, and that provider has no key_file in the routing file",
                f"add `key_file: secrets/{name}` to it",
            )
        elif not place(key_file):
            yield _problem(
                f"gridtie_secrets has a key for {name}, and its key_file is {key_file}, where no key is put from here",
                f"let it name a file below secrets/, such as secrets/{name}",
            )
        elif fault := _fault(key, read):
            yield _problem(
                f"the key for {name} in gridtie_secrets cannot be used: {fault}",
                f"{name}: the key alone, as one text; `ansible-vault encrypt_string` makes it fit for a repository",
            )
    yield from _shared(keys, providers)


def _fault(key: Any, read: Callable[[bytes], str]) -> str:
    if not isinstance(key, str):
        return f"it is a value of type {type(key).__name__}, not a text"
    try:
        read(key.encode())
    except ValueError as error:
        return str(error)
    return ""


def _shared(keys: Mapping[str, Any], providers: Mapping[str, str | None]) -> Iterator[Problem]:
    """Two keys for one file: the last would win."""
    first: dict[str, str] = {}
    for name in keys:
        file = place(providers.get(name) or "")
        other = first.setdefault(file, name) if file else name
        if keys[other] != keys[name]:
            yield _problem(
                f"gridtie_secrets has two keys for one file: {other} and {name} have the key_file {file}",
                "give each provider a key_file of its own, or both the same key",
            )


def _problem(found: str, fix: str) -> Problem:
    return {"found": found, "fix": fix}
