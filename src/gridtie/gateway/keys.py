"""Who may ask: keys.json, read; the key itself is nowhere, only its SHA-256.

The file is written by `gridtie keys` on the host (`gridtie.host.keys` documents its form).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import msgspec

from gridtie.config.names import RELAY, canonical
from gridtie.config.problems import ConfigError, Problem
from gridtie.config.schema import KEY_BUDGETS, KeyBudget
from gridtie.host.origins import fault
from gridtie.routing import refusals
from gridtie.routing.key_policy import KeyPolicy
from gridtie.routing.plan import Refusal
from gridtie.routing.policy import Policy

_BEARER = b"bearer "

_FIX = "`gridtie keys list` on the host shows what is there; `gridtie keys add NAME` writes a new one"


# Rows of a key file -> those and the ones of other routers.
Merged = Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key's rights. `environments` is never empty; the first is what its requests are in by default.

    They are in canonical form, as those of the routing file are.
    """

    name: str
    environments: tuple[str, ...]
    admin: bool = False
    # Another station's router: it may ask for this station's own engine, and for nothing else.
    relay: bool = False


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key may take; 0, and no models at all, stand for no limit. Models are in canonical form."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    usd_per_day: float = 0.0
    usd_per_month: float = 0.0
    models: tuple[str, ...] = ()


NO_LIMITS = Limits()


class Bounded(msgspec.Struct, frozen=True, kw_only=True):
    """A key that ends, or has limits. `ends` is in Unix seconds; `renewed`: it ends since another took its place."""

    key: Key
    limits: Limits = NO_LIMITS
    ends: float | None = None
    renewed: bool = False

    def over(self, now: float) -> str:
        """Why it opens nothing any more at `now` (Unix seconds), for its holder; "" while it does."""
        if self.ends is None or now < self.ends:
            return ""
        when = datetime.fromtimestamp(self.ends).astimezone().isoformat(sep=" ", timespec="minutes")
        name = self.key.name
        if self.renewed:
            return f'the key "{name}" was renewed, and this one, the one before, ended at {when}; use the new one'
        return (
            f'the key "{name}" ended at {when}; who runs the station can prolong it: '
            f"sudo gridtie keys edit {name} --expires 30d"
        )

    def budgets(self) -> Iterator[KeyBudget]:
        """Its money, as budgets are.

        They are called by the name as it is written: two that differ by case alone are counted as one key, and each
        goes by its own limit.
        """
        name, whose = f"{KEY_BUDGETS}{self.key.name}", canonical(self.key.name)
        if self.limits.usd_per_day:
            yield KeyBudget(name=f"{name}/day", usd=self.limits.usd_per_day, period="day", key=whose)
        if self.limits.usd_per_month:
            yield KeyBudget(name=f"{name}/month", usd=self.limits.usd_per_month, period="month", key=whose)

    def policy(self, policy: Policy) -> Policy:
        """The rules as they are for it: its money beside all budgets, and of the models those that it may ask for."""
        models, budgets = frozenset(self.limits.models), list(self.budgets())
        return KeyPolicy(policy, budgets, models) if models or budgets else policy


class _Previous(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sha256: str
    until: datetime


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    sha256: str
    environments: tuple[str, ...]
    admin: bool = False
    relay: bool = False
    # Written by the playbook, which takes it away again when its name leaves the inventory.
    managed: bool = False
    created: str = ""
    expires: datetime | None = None
    limits: Limits = NO_LIMITS
    origins: tuple[str, ...] = ()
    # What the key was before it was rotated.
    previous: tuple[_Previous, ...] = ()


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema: Literal[1]
    keys: tuple[_Row, ...]


class Keys:
    """Immutable; a reload makes another. `file_digest` is the SHA-256 of the file they were read from, in hex, and
    `digest` that of all that they were made of, keys of other routers among them.

    Those without an end and without limits, as nearly all are, stand apart, so that nothing is asked of them.
    """

    def __init__(
        self,
        by_digest: dict[bytes, Key] | None = None,
        file_digest: str = "",
        bounded: dict[bytes, Bounded] | None = None,
        origins: Iterable[str] = (),
        digest: str = "",
    ) -> None:
        self._by_digest = by_digest or {}
        self._bounded = bounded or {}
        self.file_digest = file_digest
        self.digest = digest or file_digest
        # Of pages that may ask as long as the key is there that they were declared with.
        self.origins = frozenset(origins)
        self._holders: dict[str, frozenset[bytes]] | None = None

    @classmethod
    def load(cls, path: Path, merged: Merged | None = None) -> Keys:
        """Read keys.json; `merged` adds the keys of other routers. Raises `ConfigError` with all that is wrong."""
        try:
            raw = whole = path.read_bytes()
        except OSError as error:
            raise _error(path, [f"cannot be read: {error.strerror}"]) from error
        file = _read(path, raw)
        if merged is not None:
            # The file by itself first: what is wrong in it is told to nobody else.
            rows = merged(msgspec.json.decode(raw)["keys"])
            whole = msgspec.json.encode({"schema": 1, "keys": rows})
            file = _read(path, whole)
        plain: dict[bytes, Key] = {}
        bounded: dict[bytes, Bounded] = {}
        for row in file.keys:
            key = Key(name=row.name, environments=_environments(row), admin=row.admin, relay=row.relay)
            limits = msgspec.structs.replace(row.limits, models=tuple(map(canonical, row.limits.models)))
            ends = None if row.expires is None else row.expires.timestamp()
            if ends is None and limits == NO_LIMITS:
                plain[bytes.fromhex(row.sha256)] = key
            else:
                bounded[bytes.fromhex(row.sha256)] = Bounded(key=key, limits=limits, ends=ends)
            for old in row.previous:
                until = old.until.timestamp()
                # The key's own end may have been set since it was rotated, and holds for all that it was.
                renewed = ends is None or until < ends
                bounded[bytes.fromhex(old.sha256)] = Bounded(
                    key=key, limits=limits, ends=until if renewed else ends, renewed=renewed
                )
        declared = (origin for row in file.keys for origin in row.origins)
        return cls(plain, sha256(raw).hexdigest(), bounded, declared, sha256(whole).hexdigest())

    def lookup(self, presented: bytes) -> Key | None:
        """Whose key this is; None where it is not known, or has an end or limits (`bounded`).

        Looked up by its hash, so that timing says nothing about any key.
        """
        return self._by_digest.get(sha256(presented).digest())

    def bounded(self, presented: bytes) -> Bounded | None:
        """The same for a key with an end or with limits."""
        return self._bounded.get(sha256(presented).digest())

    def of_digest(self, digest: bytes, now: float) -> Key | None:
        """Whose key has this SHA-256, as long as it opens anything at `now` (Unix seconds)."""
        bounded = self._bounded.get(digest)
        if bounded is not None:
            return None if bounded.over(now) else bounded.key
        return self._by_digest.get(digest)

    def bounds(self, name: str) -> Bounded | None:
        """End and limits of the key with this name; None where it has neither, or there is none."""
        return next((each for each in self._bounded.values() if each.key.name == name and not each.renewed), None)

    def limited(self) -> list[Key]:
        """The keys that have an end or limits, each once."""
        return list({each.key.name: each.key for each in self._bounded.values()}.values())

    def budgets(self) -> list[KeyBudget]:
        """The money of all keys that have limits of it."""
        named = {each.key.name: each for each in self._bounded.values()}
        return [budget for each in named.values() for budget in each.budgets()]

    def holders(self) -> dict[str, frozenset[bytes]]:
        """The digests of the keys that bear a name: a name whose keys are all others now is another holder's."""
        if self._holders is None:
            keys = {**self._by_digest, **{digest: found.key for digest, found in self._bounded.items()}}
            digests: dict[str, set[bytes]] = {}
            for digest, key in keys.items():
                digests.setdefault(key.name, set()).add(digest)
            self._holders = {name: frozenset(found) for name, found in digests.items()}
        return self._holders

    def names(self) -> frozenset[str]:
        """Whose keys there are, in canonical form."""
        keys = [*self._by_digest.values(), *(each.key for each in self._bounded.values())]
        return frozenset(canonical(key.name) for key in keys)

    def __len__(self) -> int:
        return len(self.names())


def presented(headers: Mapping[bytes, bytes]) -> bytes:
    """The key that came with a request, b"" if none did."""
    authorization = headers.get(b"authorization", b"")
    if authorization[:7].lower() == _BEARER:
        return authorization[7:].strip()
    return headers.get(b"x-api-key", b"").strip()


def resolve_environment(key: Key, header: str | None) -> str | Refusal:
    """The environment of a request: what it claims if its key may, else the key's first; or why not."""
    asked = canonical(header or "")
    if not asked:
        return key.environments[0]
    if asked in key.environments:
        return asked
    return refusals.environment_not_allowed(key.name, asked[:80], key.environments)


def _read(path: Path, raw: bytes) -> _File:
    try:
        file = msgspec.json.decode(raw, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _error(path, [f"not a key file: {error}"]) from error
    if faults := list(_faults(file.keys)):
        raise _error(path, faults)
    return file


def _environments(row: _Row) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(canonical, row.environments)))


def _faults(rows: Iterable[_Row]) -> Iterator[str]:
    names: set[str] = set()
    digests: set[str] = set()
    for row in rows:
        for digest in (row.sha256, *(old.sha256 for old in row.previous)):
            if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                yield f'key "{row.name}": sha256 is not 64 lower-case hex digits'
            elif digest in digests:
                yield f'key "{row.name}": another key has the same sha256'
            digests.add(digest)
        if not row.name or row.name in names:
            yield f'key "{row.name}": the name is empty or taken'
        environments = _environments(row)
        if not environments or "" in environments:
            yield f'key "{row.name}": it has no environment'
        if row.relay is not (RELAY in environments) or (row.relay and environments != (RELAY,)):
            yield f'key "{row.name}": a relay has the environment "{RELAY}" alone, and no other key has it'
        if row.relay and row.admin:
            yield f'key "{row.name}": a relay is no admin'
        yield from _beyond(row)
        names.add(row.name)


def _beyond(row: _Row) -> Iterator[str]:
    """What is wrong with limits, end and origins."""
    limits = row.limits
    if min(limits.requests_per_minute, limits.tokens_per_minute, limits.usd_per_day, limits.usd_per_month) < 0:
        yield f'key "{row.name}": a limit is below 0; 0 stands for none'
    if row.relay and limits != NO_LIMITS:
        yield f'key "{row.name}": a relay has no limits; the keys of the other station have'
    for moment in (row.expires, *(old.until for old in row.previous)):
        if moment is not None and moment.tzinfo is None:
            yield f'key "{row.name}": a time has no zone; wanted: one such as 2026-12-31T23:59:59Z'
    for origin in row.origins:
        what, fix = fault(canonical(origin))
        if what:
            yield f'key "{row.name}": origin {origin[:200]!r}: {what}; {fix}'


def _error(path: Path, faults: list[str]) -> ConfigError:
    return ConfigError([Problem(file=str(path), what=fault, fix=_FIX) for fault in faults])
