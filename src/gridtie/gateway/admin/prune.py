"""`POST /gridtie/ledger/prune`: rows that are older than so long, or one key's, are erased from the ledger."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import time
from typing import Protocol, cast

import msgspec

from gridtie.gateway.admin.answer import Answers, for_admins, refuse
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.ledger.ledger import Ledger

log = logging.getLogger(__name__)


class _Prunable(Protocol):
    def prune(self, *, before: float | None = None, key: str | None = None) -> dict[str, int]:
        """Erase rows of before that Unix time, of that key, or of both; how many there were of what."""
        ...


class _Which(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    older_than_seconds: float | None = None
    key: str | None = None


class Prune:
    """Erases, for admins."""

    def __init__(self, ledger: Ledger, answers: Answers) -> None:
        self._ledger = cast(_Prunable, ledger)
        self._answers = answers

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path="/gridtie/ledger/prune", post=self.prune),)

    def prune(self, exchange: Exchange) -> None:
        """Erase what the body describes; answers with what was erased."""
        if not for_admins(exchange, "erasing is for admins"):
            return
        try:
            which = _read(exchange.body)
        except ValueError as error:
            refuse(exchange, 400, "invalid_body", str(error))
            return
        before = None if which.older_than_seconds is None else time() - which.older_than_seconds
        whose = exchange.head.key.name if exchange.head.key is not None else ""

        def work() -> dict[str, int]:
            gone = self._ledger.prune(before=before, key=which.key)
            log.info('"%s" has erased from the ledger: %s', whose, gone)
            return gone

        self._answers.later(exchange, work)


def _read(body: bytes | bytearray) -> _Which:
    """Raises ValueError that says what is wrong."""
    try:
        which = msgspec.json.decode(body or b"{}", type=_Which)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(
            f"this does not say what to erase: {error}; wanted: older_than_seconds (a number), key (its name), or both"
        ) from error
    if which.older_than_seconds is None and which.key is None:
        raise ValueError("neither older_than_seconds nor key found; at least one says what to erase")
    if which.older_than_seconds is not None and not 0 <= which.older_than_seconds < time():
        raise ValueError(f"older_than_seconds: {which.older_than_seconds:g} found, wanted 0 or more seconds")
    if which.key == "":
        raise ValueError('key: "" found, wanted the name of a key')
    return which
