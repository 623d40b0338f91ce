"""Reads the ledger's file for the dashboard: one question at a time, in a thread of its own.

Neither the loop nor the threads that serve admins' questions wait for it. Equal questions that come together are one;
an answer stands for a while; whoever comes while too many wait is told so; and a question that takes too long is given
up. The router's own writing goes on: SQLite's readers do not hold it up.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from gridtie.gateway.admin.answer import refuse
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.response import JSON
from gridtie.report.ledger_file import UnreadableError, opened

# The ledger cannot be read now: it is locked, damaged or gone.
_UNREADABLE = (UnreadableError, sqlite3.Error)

log = logging.getLogger("gridtie.dashboard")

MOST_WAITING = 32
# Of them by one key, so that its holder leaves room for others.
MOST_OF_A_KEY = 16
MOST_SECONDS = 20.0
# SQLite's instructions between two looks at the time: some tens of milliseconds, so that it is looked at seldom.
_STEPS = 1_000_000
_MOST_KEPT = 128
_FAILED = "the router failed; its log says why"

Found = TypeVar("Found")
# Tells one who asked what was found.
Tell = Callable[[Exchange, Found], None]


class Reader:
    """Questions about the past."""

    def __init__(self, database: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self._thread = ThreadPoolExecutor(1, "dashboard-reader")
        # Question -> until when its answer stands, and the answer.
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        # Question -> who waits for its answer.
        self._asked: dict[Hashable, list[tuple[Exchange, Tell[Any]]]] = {}

    def answer(
        self,
        exchange: Exchange,
        question: Hashable,
        read: Callable[[sqlite3.Connection], bytes],
        *,
        stands: float = 0.0,
        fields: bytes = JSON,
    ) -> None:
        """Answer with what `read` makes of the ledger. Equal `question`s have equal answers, for `stands` seconds."""

        def tell(waiting: Exchange, body: bytes) -> None:
            waiting.respond(200, fields, body)

        self.ask(exchange, question, lambda: self._read(read), tell, stands=stands)

    def ask(
        self,
        exchange: Exchange,
        question: Hashable,
        work: Callable[[], Found],
        tell: Tell[Found],
        *,
        stands: float = 0.0,
    ) -> None:
        """Have `work` done in the thread, and what it returns told on the loop's."""
        kept = self._kept.get(question)
        if kept is not None and monotonic() < kept[0]:
            tell(exchange, kept[1])
        elif question in self._asked:
            self._asked[question].append((exchange, tell))
        elif len(self._asked) >= MOST_WAITING or self._by_key_of(exchange) >= MOST_OF_A_KEY:
            refuse(exchange, 503, "busy", "too many ask about the past at once; the page asks again")
        else:
            self._asked[question] = [(exchange, tell)]
            done = self._loop.run_in_executor(self._thread, work)
            done.add_done_callback(lambda done: self._answered(question, stands, done))

    def close(self) -> None:
        """Ask no more; what is being read comes to its end by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _by_key_of(self, exchange: Exchange) -> int:
        """How many of the questions that wait are its key's."""
        return sum(first.head.key == exchange.head.key for (first, _), *_ in self._asked.values())

    def _read(self, read: Callable[[sqlite3.Connection], bytes]) -> bytes:
        """In the thread. Raises `UnreadableError`."""
        limit = monotonic() + MOST_SECONDS
        with opened(self._database) as connection:
            connection.set_progress_handler(lambda: monotonic() > limit, _STEPS)
            return read(connection)

    def _answered(self, question: Hashable, stands: float, done: asyncio.Future[Any]) -> None:
        waiting = self._asked.pop(question)
        if done.cancelled():
            return
        error = done.exception()
        if error is None and stands:
            self._keep(question, monotonic() + stands, done.result())
        elif error is not None:
            log.error("the dashboard could not read the ledger: %s", error, exc_info=_unforeseen(error))
        for exchange, tell in waiting:
            try:
                if error is None:
                    tell(exchange, done.result())
                else:
                    refuse(exchange, *_told(error))
            except Exception:
                log.exception("%s: could not be answered", exchange.id)
                refuse(exchange, 500, "internal_error", _FAILED)

    def _keep(self, question: Hashable, until: float, found: Any) -> None:
        now = monotonic()
        # What stands no longer is not held on to: nobody may ask that question again.
        self._kept = {each: kept for each, kept in self._kept.items() if kept[0] > now}
        self._kept.pop(question, None)
        if len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[question] = (until, found)


def _unforeseen(error: BaseException) -> BaseException | None:
    return None if isinstance(error, _UNREADABLE) else error


def _told(error: BaseException) -> tuple[int, str, str]:
    """Status, code and message; without the file's path, which is not everybody's business."""
    if not isinstance(error, _UNREADABLE):
        return 500, "internal_error", _FAILED
    if "interrupted" in str(error):
        return 503, "too_slow", f"this takes more than {MOST_SECONDS:g} s; ask about a shorter period"
    return 503, "ledger_unavailable", "the ledger cannot be read; the router's log says why"
