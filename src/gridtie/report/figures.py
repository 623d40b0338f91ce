"""The report as data: the figures of the ledger, with the question that they answer and the words that they bear."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gridtie.report.ledger_file import Rows, UnreadableError, opened, read
from gridtie.report.quality import Demo, Side, beside
from gridtie.report.question import DIMENSIONS, Question
from gridtie.report.sql import Statements, statements
from gridtie.report.words import clock, words

SCHEMA = 1
# Figures of the report that are one line.
_ONE = ("totals", "bottom_line", "unfinished", "repriced")


class NothingAskedError(Exception):
    """The period has no request; the message names it and what the ledger has."""


def report(question: Question, ledger: Path, sides: Sequence[Side | Demo] = ()) -> dict[str, Any]:
    """Read the ledger and put the report together; `sides` are what is known of quality.

    Raises `UnreadableError`, `NothingAskedError`.
    """
    asked = statements(question)
    with opened(ledger) as connection:
        found = read(connection, asked)
        if not found["totals"][0]["requests"] and not found["own"]:
            raise NothingAskedError(_nothing(question, connection, ledger))
    told = figures(found)
    told["quality"] = beside(sides, told["by"]["model"])
    return {
        "schema": SCHEMA,
        "currency": "USD",
        "question": described(question),
        **told,
        "words": words(question, told),
        "sql": {**asked.prepare, **asked.figures},
    }


def figures(found: Mapping[str, Rows]) -> dict[str, Any]:
    """Rows of the statements as they stand in a report: tables by what they group by, single lines as such."""
    told: dict[str, Any] = {name: rows[0] if name in _ONE else rows for name, rows in found.items()}
    by = {name: told.pop(name) for name in DIMENSIONS}
    return {**told, "by": by}


def described(question: Question) -> dict[str, Any]:
    """The question in plain data."""
    described: dict[str, Any] = msgspec.to_builtins(question)
    described["power"]["status"] = question.power.status
    return described


def recomputed(saved: Mapping[str, Any], ledger: Path) -> list[str]:
    """What the ledger file says otherwise than a report that was saved as JSON, by the SQL in it; empty: nothing.

    Raises `UnreadableError`.
    """
    try:
        asked = Statements.of(saved["sql"])
        stated = {**saved["by"], **saved}
    except (KeyError, TypeError, ValueError):
        raise UnreadableError("it is no report of `gridtie report --json`; wanted: one with all its SQL") from None
    with opened(ledger) as connection:
        connection.set_authorizer(_reads_only)
        found = read(connection, asked)
    differing = [line for name, rows in found.items() for line in _differing(name, stated.get(name), rows)]
    if wrong := found["repriced"][0]["differing"]:
        differing.append(f"{wrong} rows cost something else than their tokens at the rates in them")
    return differing


# Of a file that somebody was sent: SQL that reads, and makes tables that are gone with the connection.
_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_CREATE_TEMP_TABLE,
    sqlite3.SQLITE_CREATE_VTABLE,
}


def _reads_only(action: int, first: str | None, second: str | None, database: str | None, _: str | None) -> int:
    within = action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE) and (
        database == "temp" or first == "sqlite_temp_master"
    )
    return sqlite3.SQLITE_OK if action in _ALLOWED or within else sqlite3.SQLITE_DENY


def _differing(name: str, stated: Any, rows: Rows) -> list[str]:
    lines = [stated] if name in _ONE else stated
    if not isinstance(lines, list) or len(lines) != len(rows) or not all(isinstance(line, dict) for line in lines):
        return [
            f"{name}: the report has {len(lines) if isinstance(lines, list) else 'no'} lines, the ledger {len(rows)}"
        ]
    return [
        f"{name} {line.get('group', '')} {figure}: the report says {value}, the ledger says {row.get(figure)}"
        for line, row in zip(lines, rows, strict=True)
        for figure, value in line.items()
        if row.get(figure) != value
    ]


def _nothing(question: Question, connection: sqlite3.Connection, ledger: Path) -> str:
    first, last, count = connection.execute("SELECT min(time), max(time), count(*) FROM requests").fetchone()

    def at(moment: float) -> str:
        return clock(moment, question.zone)

    period = f"no request of that kind lies between {at(question.since)} and {at(question.until)}"
    if not count:
        return f"{ledger}: {period}; the ledger has no request at all yet"
    return f"{ledger}: {period}; the ledger has {count:,} from {at(first)} to {at(last)}: see --since and --month"
