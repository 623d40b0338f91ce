"""How the router's own paths answer: JSON, errors in OpenAI's envelope, and never from the loop what reads the disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from gridtie.gateway.error_format import OpenAIErrorFormat
from gridtie.gateway.errors import Fault
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.response import JSON, retry_fields
from gridtie.ledger.ledger import LedgerError
from gridtie.ledger.usage import UsageError

log = logging.getLogger(__name__)

_ERRORS = OpenAIErrorFormat()
_encode = msgspec.json.Encoder().encode


def tell(exchange: Exchange, body: Any, status: int = 200) -> None:
    """Answer with something as JSON."""
    exchange.respond(status, JSON, _encode(body))


def refuse(exchange: Exchange, status: int, code: str, message: str) -> None:
    """Answer with an error."""
    passes = status >= 500
    fault = Fault(status=status, code=code, message=message, retry_after=5 if passes else None, passes=passes)
    exchange.respond(status, JSON + retry_fields(fault), _ERRORS.error(fault))


def for_admins(exchange: Exchange, what: str) -> bool:
    """Whether the key is an admin's; if not, it has been told."""
    key = exchange.head.key
    if key is not None and key.admin:
        return True
    whose = key.name if key is not None else ""
    message = f'"{whose}" is no admin key, and {what}; `gridtie keys list` on the host shows which keys are'
    refuse(exchange, 403, "not_admin", message)
    return False


class Answers:
    """Answers that a thread finds out."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def later(self, exchange: Exchange, work: Callable[[], Any]) -> None:
        """Answer with what `work` returns: something for JSON, or a `Fault`. It runs in a thread."""
        future = self._loop.run_in_executor(None, work)
        future.add_done_callback(lambda done: self._finish(exchange, done))

    def _finish(self, exchange: Exchange, done: asyncio.Future[Any]) -> None:
        try:
            self._tell(exchange, done)
        except Exception:
            # Nobody but the loop would hear of it.
            self._failed(exchange)

    def _tell(self, exchange: Exchange, done: asyncio.Future[Any]) -> None:
        try:
            found = done.result()
        except UsageError as error:
            refuse(exchange, 400, "invalid_query", str(error))
        except LedgerError as error:
            refuse(exchange, 503, "ledger_unavailable", str(error))
        else:
            if isinstance(found, Fault):
                exchange.respond(found.status, JSON + retry_fields(found), _ERRORS.error(found))
            else:
                tell(exchange, found)

    def _failed(self, exchange: Exchange) -> None:
        log.exception("%s: could not be answered", exchange.id)
        refuse(exchange, 500, "internal_error", "the router failed; its log says why")
