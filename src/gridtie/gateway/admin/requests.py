"""`GET /gridtie/requests/{id}`: one request's row in the ledger."""

from __future__ import annotations

from collections.abc import Iterable

from gridtie.gateway.admin.answer import Answers
from gridtie.gateway.errors import Fault
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.ledger.entry import Entry
from gridtie.ledger.ledger import Ledger


class Requests:
    """Looks requests up."""

    def __init__(self, ledger: Ledger, answers: Answers) -> None:
        self._ledger = ledger
        self._answers = answers

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path="/gridtie/requests/", get=self.request),)

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
