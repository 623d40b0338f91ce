"""`GET /dashboard/requests`: rows of the ledger that filters choose, on a page or as a file."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Callable, Iterable
from time import time
from typing import Any

import msgspec

from gridtie.gateway.admin.answer import refuse
from gridtie.gateway.admin.usage import read_query
from gridtie.gateway.dashboard import filters
from gridtie.gateway.dashboard.reader import Reader
from gridtie.gateway.dashboard.sign_in import PATH, SignIn
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.response import JSON
from gridtie.gateway.routes import Route
from gridtie.report.spreadsheet import harmless

PAGE = 25
# A file for a spreadsheet; sums over more than that are `gridtie report`.
MOST_EXPORTED = 5000

_COLUMNS = (
    *("id", "time", "key", "environment", "agent", "asked", "rule", "model", "locality", "status", "code", "purpose"),
    *("answered", "refused", "failed", "interrupted", "cancelled", "private", "waited", "first_token", "duration"),
    *("input_tokens", "output_tokens", "cached_tokens", "estimated", "cost_usd", "baseline_usd", "baseline"),
    *("price_date", "tries"),
)
_FLAGS = (*filters.OUTCOMES, "private", "estimated")
_CSV = b"content-type: text/csv; charset=utf-8\r\n"
_AS_FILE = 'content-disposition: attachment; filename="gridtie-requests.{}"\r\ncache-control: no-store\r\n'

Form = Callable[[list[dict[str, Any]]], bytes]

_encode = msgspec.json.Encoder().encode


class Requests:
    """What was asked."""

    def __init__(self, reader: Reader, sign_in: SignIn) -> None:
        self._reader = reader
        self._sign_in = sign_in

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path=f"{PATH}/requests", get=self.page, public=True),
            Route(path=f"{PATH}/requests.csv", get=self.csv, public=True),
            Route(path=f"{PATH}/requests.json", get=self.json, public=True),
        )

    def page(self, exchange: Exchange) -> None:
        """The newest that the filters leave, and where the next page begins."""
        self._answer(exchange, PAGE + 1, _page, JSON, stands=1.0)

    def csv(self, exchange: Exchange) -> None:
        """The same as a file for spreadsheets."""
        self._answer(exchange, MOST_EXPORTED, _csv, _CSV + _AS_FILE.format("csv").encode())

    def json(self, exchange: Exchange) -> None:
        """The same as a file for programs."""
        self._answer(exchange, MOST_EXPORTED, _json, JSON + _AS_FILE.format("json").encode())

    def _answer(self, exchange: Exchange, most: int, form: Form, fields: bytes, stands: float = 0.0) -> None:
        """A file does not stand: it has megabytes, and is asked for once."""
        viewer = self._sign_in.viewer(exchange)
        if viewer is None:
            return
        query = exchange.head.query
        try:
            chosen = filters.read(read_query(query), viewer.whose, time())
        except filters.FilterError as error:
            refuse(exchange, 400, "invalid_query", str(error))
            return

        def work(connection: sqlite3.Connection) -> bytes:
            rows = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM metered WHERE {chosen.where} "  # noqa: S608 (our own words)
                "ORDER BY time DESC, id DESC LIMIT ?",
                (*chosen.values, most),
            )
            return form([_row(dict(row)) for row in rows])

        self._reader.answer(exchange, ("requests", viewer.whose, form, query), work, stands=stands, fields=fields)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    for name in _FLAGS:
        row[name] = bool(row[name])
    became = {name: row.pop(name) for name in filters.OUTCOMES}
    row["outcome"] = next((name for name, so in became.items() if so), "")
    row["tries"] = msgspec.json.decode(row["tries"])
    return row


def _page(rows: list[dict[str, Any]]) -> bytes:
    more = len(rows) > PAGE
    shown = rows[:PAGE]
    return _encode({"requests": shown, "older": f"{shown[-1]['time']!r}/{shown[-1]['id']}" if more else None})


def _json(rows: list[dict[str, Any]]) -> bytes:
    return _encode({"requests": rows, "most": MOST_EXPORTED, "cut": len(rows) >= MOST_EXPORTED})


def _csv(rows: list[dict[str, Any]]) -> bytes:
    names = [name for name in (*_COLUMNS, "outcome") if name not in (*filters.OUTCOMES, "tries")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow("" if row[name] is None else harmless(str(row[name])) for name in names)
    return out.getvalue().encode()
