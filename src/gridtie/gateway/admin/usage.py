"""`GET /gridtie/usage`: the report on a period; admins see everybody's, others their own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import time
from typing import Any
from urllib.parse import parse_qs

from gridtie.gateway.admin.answer import Answers, refuse
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.ledger.ledger import Ledger
from gridtie.ledger.usage import UsageError, moment
from gridtie.ledger.zone import Zone, ZoneError

_DAY = 24 * 3600.0
_KNOWN = ("since", "until", "by", "key", "utc_offset")

_LONGEST_TIME = 80

# A time with its offset, whose plus sign somebody put into a URL as it is, where it means a space.
_LOST_PLUS = re.compile(r"(\d{4}-?\d\d-?\d\d[Tt ]\d\d\S*) (\d\d(?::?\d\d)?)")


class Usage:
    """The report."""

    def __init__(self, ledger: Ledger, answers: Answers) -> None:
        self._ledger = ledger
        self._answers = answers

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path="/gridtie/usage", get=self.usage),)

    def usage(self, exchange: Exchange) -> None:
        """What was asked in a period, and what it cost."""
        key = exchange.head.key
        if key is None:
            return
        asked = read_query(exchange.head.query)
        if unknown := asked.keys() - set(_KNOWN):
            names = ", ".join(sorted(name[:40] for name in unknown)[:10])
            refuse(exchange, 400, "invalid_query", f"unknown: {names}; wanted: {', '.join(_KNOWN)}")
            return
        whose = asked.get("key") if key.admin else key.name
        now = time()

        def report() -> dict[str, Any]:
            zone = _zone(asked.get("utc_offset", "0"))
            since = _moment(asked["since"], now, zone) if "since" in asked else now - _DAY
            until = _moment(asked["until"], now, zone) if "until" in asked else now
            return self._ledger.usage(since, until, asked.get("by"), whose, zone)

        self._answers.later(exchange, report)


def read_query(query: str) -> dict[str, str]:
    """Names and values of a query; of a name that is given twice the last value."""
    return {name: _with_plus(values[-1]) for name, values in parse_qs(query).items()}


def _with_plus(value: str) -> str:
    found = _LOST_PLUS.fullmatch(value)
    return f"{found[1]}+{found[2]}" if found else value


def _zone(text: str) -> Zone:
    """Raises `UsageError`."""
    try:
        return Zone.read(text[:4096])
    except ZoneError as error:
        raise UsageError(str(error)) from None


def _moment(text: str, now: float, zone: Zone) -> float:
    """Raises `UsageError`, also for a time beyond all calendars."""
    try:
        if len(text) <= _LONGEST_TIME:
            return moment(text, now, zone)
    except OverflowError:
        pass
    raise UsageError(f"time {text[:_LONGEST_TIME]!r} found, which is in no calendar")
