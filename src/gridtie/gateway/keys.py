"""Who may ask: keys.json, read; the key itself is nowhere, only its SHA-256.

The file is written by `gridtie keys` on the host (`gridtie.host.keys` documents its form).
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from gridtie.config.names import RELAY, canonical
from gridtie.config.problems import ConfigError, Problem
from gridtie.routing import refusals
from gridtie.routing.plan import Refusal

_FIX = "`gridtie keys list` on the host shows what is there; `gridtie keys add NAME` writes a new one"


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key's rights. `environments` is never empty; the first is what its requests are in by default.

    They are in canonical form, as those of the routing file are.
    """

    name: str
    environments: tuple[str, ...]
    admin: bool = False
    # Another station's router: it may ask for this station's own engine, and for nothing else.
    relay: bool = False


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    sha256: str
    environments: tuple[str, ...]
    admin: bool = False
    relay: bool = False
    # Written by the playbook, which takes it away again when its name leaves the inventory.
    managed: bool = False
    created: str = ""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: Literal[1]
    keys: tuple[_Row, ...]


class Keys:
    """Immutable; a reload makes another. `file_digest` is the SHA-256 of the file they were read from, in hex."""

    def __init__(self, by_digest: dict[bytes, Key] | None = None, file_digest: str = "") -> None:
        self._by_digest = by_digest or {}
        self.file_digest = file_digest

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Read keys.json. Raises `ConfigError` with all that is wrong."""
        try:
            raw = path.read_bytes()
            file = msgspec.json.decode(raw, type=_File)
        except OSError as error:
            raise _error(path, [f"cannot be read: {error.strerror}"]) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _error(path, [f"not a key file: {error}"]) from error
        if faults := list(_faults(file.keys)):
            raise _error(path, faults)
        return cls(
            {
                bytes.fromhex(row.sha256): Key(
                    name=row.name, environments=_environments(row), admin=row.admin, relay=row.relay
                )
                for row in file.keys
            },
            sha256(raw).hexdigest(),
        )

    def lookup(self, presented: bytes) -> Key | None:
        """Whose key this is. Looked up by its hash, so that timing says nothing about any key."""
        return self._by_digest.get(sha256(presented).digest())

    def holders(self) -> dict[str, frozenset[bytes]]:
        """The digests of the keys that bear a name: a name whose keys are all others now is another holder's."""
        digests: dict[str, set[bytes]] = {}
        for digest, key in self._by_digest.items():
            digests.setdefault(key.name, set()).add(digest)
        return {name: frozenset(found) for name, found in digests.items()}

    def names(self) -> frozenset[str]:
        """Whose keys there are, in canonical form."""
        return frozenset(canonical(key.name) for key in self._by_digest.values())

    def __len__(self) -> int:
        return len(self._by_digest)


def resolve_environment(key: Key, header: str | None) -> str | Refusal:
    """The environment of a request: what it claims if its key may, else the key's first; or why not."""
    asked = canonical(header or "")
    if not asked:
        return key.environments[0]
    if asked in key.environments:
        return asked
    return refusals.environment_not_allowed(key.name, asked[:80], key.environments)


def _environments(row: _Row) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(canonical, row.environments)))


def _faults(rows: Iterable[_Row]) -> Iterable[str]:
    names: set[str] = set()
    digests: set[str] = set()
    for row in rows:
        if len(row.sha256) != 64 or set(row.sha256) - set("0123456789abcdef"):
            yield f'key "{row.name}": sha256 is not 64 lower-case hex digits'
        elif row.sha256 in digests:
            yield f'key "{row.name}": another key has the same sha256'
        if not row.name or row.name in names:
            yield f'key "{row.name}": the name is empty or taken'
        environments = _environments(row)
        if not environments or "" in environments:
            yield f'key "{row.name}": it has no environment'
        if row.relay is not (RELAY in environments) or (row.relay and environments != (RELAY,)):
            yield f'key "{row.name}": a relay has the environment "{RELAY}" alone, and no other key has it'
        if row.relay and row.admin:
            yield f'key "{row.name}": a relay is no admin'
        names.add(row.name)
        digests.add(row.sha256)


def _error(path: Path, faults: list[str]) -> ConfigError:
    return ConfigError([Problem(file=str(path), what=fault, fix=_FIX) for fault in faults])
