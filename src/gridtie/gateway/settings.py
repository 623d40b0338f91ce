"""The configuration in force: loaded once, reloaded when its files change, swapped as one.

Routing (with the station's facts, secrets and prices) and keys are read apart: a mistake in the one never keeps
the other from taking effect, so that a revoked key is revoked although somebody is editing the rules.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time
from typing import TypeVar

import msgspec

from gridtie.config.check_warnings import warnings
from gridtie.config.key_file import key_in
from gridtie.config.load import RoutingFile, load
from gridtie.config.problems import ConfigError, Problem
from gridtie.config.redact import path_or_nothing
from gridtie.config.schema import Routing
from gridtie.config.station import Station, load_station
from gridtie.config.watch import INTERVAL, Watcher
from gridtie.gateway.allowance import Allowance
from gridtie.gateway.certificate import DIRECTORY as CERTIFICATES
from gridtie.gateway.keys import Keys, Merged
from gridtie.gateway.share import WHOLE, Share
from gridtie.ledger.prices import Prices, PricesError
from gridtie.providers.registry import Targets
from gridtie.routing.policy import Policy
from gridtie.upstream import tls

log = logging.getLogger("gridtie.config")

ROUTING_FILE = "llm_routing.yaml"
STATION_FILE = "station.json"
KEYS_FILE = "keys.json"
PRICES_FILE = "prices.json"
SECRETS = "secrets"

# A key file holds one key; this is a wrong file.
_MAX_SECRET_BYTES = 16 * 1024

T = TypeVar("T")


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration, whole. A request keeps the one it began with."""

    routing: Routing
    station: Station | None
    targets: Targets
    policy: Policy
    keys: Keys
    prices: Prices
    # SHA-256 of the routing file in force, in hex.
    digest: str
    # Unix time.
    loaded_at: float
    # What is wrong with the files as they are now; "" where they are what is in force.
    error: str = ""
    # What is in force and hardly meant, each with file and line.
    warnings: tuple[str, ...] = ()
    # The station's names, "" where nothing was provisioned: they stand in every row of the ledger.
    project: str = ""
    endpoint: str = ""
    # Of the one key for whose requests this is, where it has an end or limits.
    allowance: Allowance | None = None
    # What of limits is this router's, where there are several.
    share: Share = WHOLE


class _Rules(msgspec.Struct, frozen=True):
    """What hangs together with the routing file."""

    file: RoutingFile
    station: Station | None
    targets: Targets
    policy: Policy
    prices: Prices
    share: Share


class Settings:
    """Holds `current`, which is replaced and never changed. Belongs to the event loop's thread."""

    def __init__(self, directory: Path) -> None:
        """Load everything. Raises `ConfigError` with all that is wrong: at start a bad file is fatal."""
        self.directory = directory
        # By which the files are read: see `divide`.
        self._share = WHOLE
        # What adds the keys of other routers, where there are any: they are there from the next `reload` on.
        self.merged_keys: Merged | None = None
        self._subscribers: list[Callable[[Loaded], None]] = []
        self._loading = asyncio.Lock()
        rules, rules_error = _attempt(self._rules)
        keys, keys_error = _attempt(self._keys)
        if rules is None or keys is None:
            raise ConfigError(
                [*(rules_error.problems if rules_error else ()), *(keys_error.problems if keys_error else ())]
            )
        self._file = rules.file
        self.current = _loaded(rules, keys, time(), "")
        _tell(self.current, None)

    def subscribe(self, subscriber: Callable[[Loaded], None]) -> None:
        """Call after each swap, with the new configuration, on the loop's thread."""
        self._subscribers.append(subscriber)

    async def watch(self, interval: float = INTERVAL) -> None:
        """Reload whenever a file changes, until cancelled."""
        await Watcher(self.directory, self.reload, subdirectories=(SECRETS, CERTIFICATES), interval=interval).run()

    async def divide(self, share: Share) -> None:
        """There are more routers now, or fewer: take this one's part of what the files allow to all."""
        self._share = share
        await self.reload()

    async def reload(self) -> None:
        """Read the files again. What is wrong with them is logged and kept in `current.error`; it never raises."""
        async with self._loading:
            # Parsing takes tens of milliseconds, in which streams would stand still.
            (rules, rules_error), (keys, keys_error) = await asyncio.to_thread(
                lambda: (_attempt(_surely(self._rules)), _attempt(_surely(self._keys)))
            )
            self._swap(rules, keys, "\n".join(str(error) for error in (rules_error, keys_error) if error))

    def _swap(self, rules: _Rules | None, keys: Keys | None, error: str) -> None:
        before = self.current
        if keys is None:  # not `or`: no keys at all is a file like any other
            keys = before.keys
        if error and error != before.error:
            log.error("the changed configuration is not used, the one before it stays in force: %s", error)
        if rules is not None:
            self._file = rules.file
            after = _loaded(rules, keys, time(), error)
            log.info("configuration loaded: %s", after.digest[:12])
        else:
            after = msgspec.structs.replace(before, keys=keys, error=error, warnings=_warnings(self._file, keys))
        _tell(after, before)
        self.current = after
        for subscriber in self._subscribers:
            subscriber(after)

    # Reading

    def _keys(self) -> Keys:
        return Keys.load(self.directory / KEYS_FILE, self.merged_keys)

    def _rules(self) -> _Rules:
        file, share = load(self.directory / ROUTING_FILE), self._share
        routing = share.of(file.routing)
        station = load_station(self.directory / STATION_FILE)
        prices = self._prices()
        try:
            targets = Targets.build(routing, station, read_secret=self._secret, pricing=prices)
        except ConfigError as error:
            raise file.located(error) from error
        if problems := [*_authorities(file.routing), *_member_authorities(station)]:
            raise file.located(ConfigError(problems))
        return _Rules(file, station, targets, Policy(routing, targets), prices, share)

    def _prices(self) -> Prices:
        try:
            return Prices.load(self.directory / PRICES_FILE)
        except PricesError as error:
            raise ConfigError([Problem(what=str(error))]) from error

    def _secret(self, name: str) -> str:
        """The key in a file of the configuration. Raises OSError, or ValueError that shows nothing of the content."""
        with (self.directory / name).open("rb") as stream:
            raw = stream.read(_MAX_SECRET_BYTES + 1)
        if len(raw) > _MAX_SECRET_BYTES:
            raise ValueError("it is too large for a key")
        return key_in(raw)


def _authorities(routing: Routing) -> Iterator[Problem]:
    """Certificate files that cannot be used: said now, and not by the first request."""
    for name, provider in routing.providers.items():
        if provider.ca_file is None:
            continue
        try:
            tls.context(provider.ca_file)
        except OSError as error:  # ssl.SSLError is one
            reason = error.strerror or str(error)
            where = path_or_nothing(provider.ca_file, "the file")
            what = f"{where} cannot be used as certificate authorities: {reason}"
            yield Problem(path=("providers", name, "ca_file"), what=what, fix="wanted: a readable PEM file")


def _member_authorities(station: Station | None) -> Iterator[Problem]:
    for member in station.pool if station is not None else ():
        try:
            tls.context(member.ca_file)
        except OSError as error:
            reason = error.strerror or str(error)
            what = f"{member.ca_file}, by which {member.name} is known, cannot be used: {reason}"
            yield Problem(what=what, fix="run `ansible-playbook site.yml` again: it writes this file")


def _attempt(read: Callable[[], T]) -> tuple[T | None, ConfigError | None]:
    try:
        return read(), None
    except ConfigError as error:
        return None, error


def _surely(read: Callable[[], T]) -> Callable[[], T]:
    """As `read`, with a ConfigError for whatever nobody thought of: what is in force stays in force, and it is said."""

    def attempt() -> T:
        try:
            return read()
        except ConfigError:
            raise
        except Exception as error:
            # Its message may be made of what was read, a key among it.
            *_, frame = traceback.extract_tb(error.__traceback__)
            what = f"a file of the configuration cannot be used: {type(error).__name__}"
            where = f"at {Path(frame.filename).name}:{frame.lineno}"
            raise ConfigError([Problem(what=f"{what} {where}", fix="undo what was changed last")]) from error

    return attempt


def _loaded(rules: _Rules, keys: Keys, now: float, error: str) -> Loaded:
    return Loaded(
        routing=rules.file.routing,
        station=rules.station,
        targets=rules.targets,
        policy=rules.policy,
        keys=keys,
        prices=rules.prices,
        digest=rules.file.digest,
        loaded_at=now,
        error=error,
        warnings=_warnings(rules.file, keys),
        share=rules.share,
        project=rules.station.project if rules.station is not None else "",
        endpoint=rules.station.endpoint if rules.station is not None else "",
    )


def _warnings(file: RoutingFile, keys: Keys) -> tuple[str, ...]:
    return tuple(str(warning) for warning in warnings(file, keys.names()))


def _tell(after: Loaded, before: Loaded | None) -> None:
    """Log the warnings that were not there before."""
    for warning in after.warnings:
        if before is None or warning not in before.warnings:
            log.warning("%s", warning)
