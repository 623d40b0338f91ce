"""The ledger file, read as it lies there: nothing is written, and a running router does not notice."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gridtie.ledger.schema import VERSION
from gridtie.report.sql import Statements

Rows = list[dict[str, Any]]

# A router writes for milliseconds; whoever holds the file for longer has locked it.
_WAIT_S = 5.0


class UnreadableError(Exception):
    """The ledger cannot be read; the message names the file, what was found and what to do."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can only read, and sees one state of the ledger throughout. Raises `UnreadableError`."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UnreadableError(
            f"{path}: {error.strerror}; wanted: the ledger of a station, readable by this user (run it with sudo), "
            "or another file by --ledger"
        ) from None
    if not size:
        raise UnreadableError(f"{path} is empty, and no ledger; start the router, which makes it, or give --ledger")
    try:
        connection = sqlite3.connect(_uri(path), uri=True, timeout=_WAIT_S, isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            _check_schema(connection, path)
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise UnreadableError(f"{path}: {error}; {_remedy(error)}") from error


def read(connection: sqlite3.Connection, statements: Statements) -> dict[str, Rows]:
    """The rows of every figure."""
    for sql in statements.prepare.values():
        connection.execute(sql)
    return {name: [dict(row) for row in connection.execute(sql)] for name, sql in statements.figures.items()}


def _uri(path: Path) -> str:
    # Beside a ledger that no router has open there is no log of writes, and SQLite would have to make one: where it
    # may not, the file is told not to change, as it does not.
    alone = not path.with_name(path.name + "-wal").exists() and not os.access(path.parent, os.W_OK)
    return f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if version > VERSION:
        fix = "ask with the newer gridtie that wrote it"
    elif version:
        fix = "start the router of this gridtie once, which brings it up to date"
    else:
        fix = "give the ledger.sqlite of a station"
    raise UnreadableError(f"{path}: ledger schema {version} found, {VERSION} wanted; {fix}")


def _remedy(error: sqlite3.Error) -> str:
    if "locked" in str(error) or "busy" in str(error):
        return f"another program has held it for {_WAIT_S:g} s: end that one, or ask again"
    if "not a database" in str(error):
        return "give the ledger.sqlite of a station"
    if "full" in str(error):
        return "free space where temporary files are kept, or ask for a shorter period"
    return "restore the file, or access to it and its directory"
