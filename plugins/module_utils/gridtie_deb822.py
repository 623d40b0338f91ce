"""A package source in deb822 form: what its file says, what it shall say, and whether that is the same."""

from __future__ import annotations

from typing import Iterable

from .gridtie_openpgp import KeyFormatError, armoured_of, only_key
from .gridtie_sources import AptIndex

SIGNED_BY = "Signed-By"


def fields(text: str) -> dict[str, str]:
    """The fields of a file with one source; lines that go on keep their indentation."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t") and name:
            found[name] += f"\n{line}"
        elif ":" in line and not line.startswith("#"):
            name, _, value = line.partition(":")
            found[name] = value.strip()
    return found


def text_of(entries: dict[str, str]) -> str:
    """The file with these fields."""
    return "".join(f"{name}:{'' if value.startswith(chr(10)) else ' '}{value}\n" for name, value in entries.items())


def source(site: str, suites: str, components: list[str]) -> dict[str, str]:
    """The fields of a source, without what it is signed by. A flat repository has no components."""
    found = {"Types": "deb", "URIs": site, "Suites": suites}
    return {**found, "Components": " ".join(components)} if components else found


def lacking(indexes: Iterable[AptIndex], suite: str, components: list[str], before: dict[str, str]) -> list[str]:
    """Those components of the machine's own release that apt has from nowhere but from the file as it is."""
    have = {index.component for index in indexes if index.suite == suite}
    ours = before.get("Components", "").split()
    return [name for name in components if name in ours or name not in have]


def is_signed_by(value: str, fingerprint: str) -> bool:
    """Whether a Signed-By holds the key with this fingerprint and no other. Needs GnuPG."""
    try:
        return bool(only_key(armoured_of(value).encode(), fingerprint))
    except KeyFormatError:
        return False
