"""The names of a routing file: how they are compared, which have a meaning of their own, and what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gridtie.config.problems import KeyPath, Problem, closest, listed

SURFACES = ("openai", "anthropic", "ollama")
# The tag that every request may carry to stay on this machine; no rule can loosen it.
PRIVATE = "private"
# The environment of requests that another station's router passes on; no key of a person may claim it.
RELAY = "relay"
# Words of `use` and `local`, so no names of providers.
RESERVED = ("local", "cloud", "auto")

# What a request can claim in its headers: tags and agents. They end in reports and in rules: words, not sentences.
CLAIM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}")
CLAIM_WORDS = "up to 64 letters, digits and . _ : / @ + -, a letter or digit first"

# Rule and provider names go into response headers, metric labels and `provider/model`.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def canonical(text: str) -> str:
    """How tags, environments, agents, aliases and names of keys are compared: spaces around them and case are nothing.

    The one truth for the routing file, keys.json, headers and explain. What is sent upstream keeps its spelling.
    """
    return text.strip().casefold()


def unknown(kind: str, found: str, allowed: Iterable[str], path: KeyPath) -> Problem:
    """A reference to what this file does not define."""
    names = list(allowed)
    return Problem(
        path=path, what=f'"{found}" is no {kind} of this file', fix=closest(found, names) or f"known: {listed(names)}"
    )


def repeated(names: Iterable[str], paths: Iterable[KeyPath], kind: str) -> Iterator[Problem]:
    """Names that must differ, each with its place."""
    seen: set[str] = set()
    for name, path in zip(names, paths, strict=True):
        if name in seen:
            yield Problem(path=path, what=f'"{name}" is given twice', fix=f"each {kind} is named once")
        seen.add(name)


def same_but_for_case(names: Iterable[str], paths: Iterable[KeyPath], kind: str) -> Iterator[Problem]:
    """Names that are one name when compared, though they are spelled in more than one way: a problem at each place."""
    groups: dict[str, dict[str, KeyPath]] = {}
    for name, path in zip(names, paths, strict=True):
        groups.setdefault(canonical(name), {}).setdefault(name, path)
    for spellings in groups.values():
        for name, path in spellings.items() if len(spellings) > 1 else ():
            others = listed(f'"{other}"' for other in spellings if other != name)
            yield Problem(
                path=path,
                what=f'"{name}" and {others} differ by case alone, and names are compared without it',
                fix=f"each {kind} is named once: keep one spelling, or choose another name",
            )


def well_named(name: str, path: KeyPath) -> Iterator[Problem]:
    """A name that goes into headers and labels."""
    if not _NAME.fullmatch(name):
        yield Problem(
            path=path, what=f"the name {name!r} does not fit a header", fix="use letters, digits, dots and dashes"
        )
