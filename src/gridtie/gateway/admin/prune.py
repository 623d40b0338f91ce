"""`POST /gridtie/ledger/prune`: rows that are older than so long, or all rows of a key, are deleted from the ledger."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from gridtie.gateway.admin.answer import Answers, for_admins, refuse
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.ledger.ledger import Ledger, LedgerError
from gridtie.ledger.retention import Removal
from gridtie.ledger.usage import UsageError

log = logging.getLogger(__name__)


class Prune:
    """Deletes, for admins."""

    def __init__(self, ledger: Ledger, answers: Answers) -> None:
        self._ledger = ledger
        self._answers = answers

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path="/gridtie/ledger/prune", post=self.prune),)

    def prune(self, exchange: Exchange) -> None:
        """Delete what the body describes; answers with what was deleted."""
        if not for_admins(exchange, "deleting rows is for admins"):
            return
        try:
            removal = Removal.read(exchange.body or b"{}")
            remove = self._ledger.remover(removal)
        except UsageError as error:
            refuse(exchange, 400, "invalid_body", str(error))
            return
        except LedgerError as error:
            refuse(exchange, 503, "ledger_unavailable", str(error))
            return
        whose = exchange.head.key.name if exchange.head.key is not None else ""

        def work() -> dict[str, Any]:
            gone = remove()
            log.info('"%s" has deleted rows of the ledger: %d', whose, gone["rows"])
            return gone

        self._answers.later(exchange, work)
