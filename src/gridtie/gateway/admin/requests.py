"""`GET /gridtie/requests`, the latest, and `GET /gridtie/requests/{id}`, one: rows of the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gridtie.gateway.admin.answer import Answers, refuse
from gridtie.gateway.admin.usage import read_query
from gridtie.gateway.errors import Fault
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.ledger.entry import Entry
from gridtie.ledger.ledger import Ledger

_LAST = 20
# A screen of them is what people ask for; reports are made of sums.
_MOST = 1000


class Requests:
    """Looks requests up."""

    def __init__(self, ledger: Ledger, answers: Answers) -> None:
        self._ledger = ledger
        self._answers = answers

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path="/gridtie/requests", get=self.latest),
            Route(path="/gridtie/requests/", get=self.request),
        )

    def latest(self, exchange: Exchange) -> None:
        """The newest rows: of all keys for admins, else of the key that asks."""
        key = exchange.head.key
        if key is None:
            return
        asked = read_query(exchange.head.query)
        last = asked.pop("last", str(_LAST))
        if asked:
            unknown = ", ".join(sorted(name[:40] for name in asked)[:10])
            refuse(exchange, 400, "invalid_query", f"unknown: {unknown}; wanted: last")
            return
        if not re.fullmatch(r"[0-9]{1,4}", last) or not 1 <= int(last) <= _MOST:
            refuse(exchange, 400, "invalid_query", f"last={last[:40]!r} found; wanted: from 1 to {_MOST}")
            return
        whose = None if key.admin else key.name

        def find() -> dict[str, Any]:
            return {"requests": self._ledger.latest(int(last), whose)}

        self._answers.later(exchange, find)

    def request(self, exchange: Exchange) -> None:
        """The row, for its own key and for admins."""
        key, id = exchange.head.key, exchange.head.rest

        def find() -> Entry | Fault:
            entry = self._ledger.find(id)
            # Whose it is stays unsaid: to others it does not exist.
            if entry is None or key is None or not (key.admin or entry.key == key.name):
                return Fault(status=404, code="not_found", message=f"no request {id[:80]!r} of yours is known")
            return entry

        self._answers.later(exchange, find)
