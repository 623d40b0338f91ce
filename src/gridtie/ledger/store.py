"""Where drained records are kept. `Store` is the interface; SQLite is what one machine needs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import msgspec

from gridtie.ledger.entry import Entry, Try
from gridtie.ledger.journal import Begin, Record
from gridtie.ledger.migrate import MigrationError, migrate
from gridtie.ledger.schema import MIGRATIONS

# Tries that were never sent anywhere.
_NOT_SENT = frozenset({"skipped"})

# In the order of `_row`.
_COLUMNS = (
    *("id", "time", "key", "environment", "surface", "asked", "status", "agent", "tags", "private", "stream"),
    *("rule", "target", "locality", "served", "tries", "cloud_tries"),
    *("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "estimated", "complete"),
    *("first_token", "duration", "error", "cost_usd", "baseline", "baseline_usd", "price_date"),
)
_encode = msgspec.json.Encoder().encode
_JSON = {"tags": tuple[str, ...], "tries": tuple[Try, ...]}
_BOOL = ("private", "stream", "estimated", "complete")

# The first record of an id stays: replaying a journal twice changes nothing.
_INTO = f"INSERT OR IGNORE INTO requests ({', '.join(_COLUMNS)}) VALUES "  # noqa: S608 (our own names)
_VALUES = f"({', '.join('?' * len(_COLUMNS))})"
_INSERT = _INTO + _VALUES
# Under load one statement takes this many rows. It costs half of what a statement per row does, and the interpreter is
# handed over to the requests once for all of them.
_AT_ONCE = 50
_INSERT_MANY = _INTO + ", ".join([_VALUES] * _AT_ONCE)
_BEGIN = """INSERT OR IGNORE INTO attempts (id, target, time, key, environment, reserve_usd)
            SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = ?)"""


class StoreError(Exception):
    """The store cannot be used; the message names what was found and what to do."""


class Store(Protocol):
    """Idempotent by request id. Used from the drain thread, except for `find` and `rows`, which any thread may call."""

    def save(self, records: Iterable[Record]) -> None:
        """Keep a batch: all of it, or none of it. Raises `StoreError`."""
        ...

    def abandon(self) -> int:
        """Mark the attempts of earlier processes that have no end as unfinished; returns how many there are."""
        ...

    def find(self, id: str) -> Entry | None: ...

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Read: what the reports are made of."""
        ...

    def close(self) -> None: ...


class SqliteStore:
    """One file in WAL mode: readers, `sqlite3` on the host among them, never wait for the writer."""

    def __init__(self, path: Path) -> None:
        """Open or create; an older schema is brought to the present one. Raises `StoreError`."""
        self.path = path
        try:
            self._writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
            try:
                self._prepare()
            except BaseException:
                self._writer.close()
                raise
        except MigrationError as error:
            raise StoreError(str(error)) from error
        except sqlite3.Error as error:
            raise StoreError(
                f"{path}: {error}; the file must be a ledger of gridtie in a directory that this process may write"
            ) from error

    def _prepare(self) -> None:
        # First, since it changes nothing about a ledger that is not for us.
        migrate(self._writer, self.path, MIGRATIONS)
        self._writer.execute("PRAGMA journal_mode = WAL")
        # The journal covers the death of the process; a sync per batch would only cover power loss, and not fully.
        self._writer.execute("PRAGMA synchronous = NORMAL")

    def save(self, records: Iterable[Record]) -> None:
        writer = self._writer
        try:
            entries: list[Entry] = []
            begins: list[Begin] = []
            for record in records:
                if isinstance(record, Begin):
                    begins.append(record)
                else:
                    entries.append(record)
            writer.execute("BEGIN IMMEDIATE")
            # Entries first: of an attempt that begins and ends in one batch, only the end is kept.
            self._insert(entries)
            ended = [(entry.id,) for entry in entries if _in_cloud(entry)]
            writer.executemany("DELETE FROM attempts WHERE id = ?", ended)
            writer.executemany(_BEGIN, map(_attempt, begins))
            writer.execute("COMMIT")
        except BaseException as error:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"{self.path}: {error}; free space, or restore the file") from error
            raise

    def _insert(self, entries: list[Entry]) -> None:
        full = len(entries) - len(entries) % _AT_ONCE
        for start in range(0, full, _AT_ONCE):
            batch = entries[start : start + _AT_ONCE]
            self._writer.execute(_INSERT_MANY, list(chain.from_iterable(map(_row, batch))))
        self._writer.executemany(_INSERT, map(_row, entries[full:]))

    def abandon(self) -> int:
        self._writer.execute("UPDATE attempts SET unfinished = 1 WHERE NOT unfinished")
        (count,) = self._writer.execute("SELECT count(*) FROM attempts").fetchone()
        return int(count)

    def find(self, id: str) -> Entry | None:
        found = self.rows("SELECT * FROM requests WHERE id = ?", (id,))
        return _entry(found[0]) if found else None

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        # A connection per call: reads are rare, and may come from any thread.
        reader = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5.0)
        try:
            reader.row_factory = sqlite3.Row
            return [dict(row) for row in reader.execute(sql, tuple(values))]
        finally:
            reader.close()

    def close(self) -> None:
        self._writer.close()


def _in_cloud(entry: Entry) -> list[Try]:
    """The tries at clouds, sent or not."""
    return [tried for tried in entry.tries if tried.locality == "cloud"]


def _row(entry: Entry) -> tuple[object, ...]:
    # Written out, and with 1 and 0: sqlite3 looks for adapters of a bool, which costs more than two values of a type
    # that it knows. The drain is an eighth of what an unstreamed request costs.
    return (
        entry.id,
        entry.time,
        entry.key,
        entry.environment,
        entry.surface,
        entry.asked,
        entry.status,
        entry.agent,
        _encode(entry.tags).decode() if entry.tags else "[]",
        1 if entry.private else 0,
        1 if entry.stream else 0,
        entry.rule,
        entry.target,
        entry.locality,
        entry.served,
        _encode(entry.tries).decode(),
        len([tried for tried in _in_cloud(entry) if tried.outcome not in _NOT_SENT]),
        entry.input_tokens,
        entry.output_tokens,
        entry.cached_tokens,
        entry.cache_write_tokens,
        1 if entry.estimated else 0,
        1 if entry.complete else 0,
        entry.first_token,
        entry.duration,
        entry.error,
        entry.cost_usd,
        entry.baseline,
        entry.baseline_usd,
        entry.price_date,
    )


def _attempt(begin: Begin) -> tuple[object, ...]:
    return (begin.id, begin.target, begin.time, begin.key, begin.environment, begin.reserve_usd, begin.id)


def _entry(row: dict[str, Any]) -> Entry:
    del row["cloud_tries"]
    for name, kind in _JSON.items():
        row[name] = msgspec.json.decode(row[name], type=kind)
    for name in _BOOL:
        row[name] = bool(row[name])
    return Entry(**row)
