"""Where drained records are kept. `Store` is the interface; SQLite is what one router needs.

That of several routers is in `ledger.postgres`.
"""

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
from gridtie.ledger.retention import Removal, Removed, remove
from gridtie.ledger.schema import MIGRATIONS, SPENT_USD

# Tries that were never sent anywhere.
_NOT_SENT = frozenset({"skipped"})

# In the order of `_row`.
_COLUMNS = (
    *("id", "time", "key", "environment", "surface", "asked", "status", "agent", "tags", "private", "stream"),
    *("rule", "target", "locality", "served", "tries", "cloud_tries"),
    *("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "estimated", "complete"),
    *("first_token", "duration", "error", "cost_usd", "baseline", "baseline_usd", "price_date", "backend"),
)
# Most rows have nothing but the schema's defaults in these; a column that is written costs as much as any other.
_RARE = ("waited", "purpose", "code", "reasoning_tokens", "project", "reserved_usd", "choices", "output_limit")
_USUAL = (0.0, "", "", 0, "", 0.0, 1, None)
_BACKEND = ("engine", "engine_version", "digest", "station", "prices")
_encode = msgspec.json.Encoder().encode
_JSON = {"tags": tuple[str, ...], "tries": tuple[Try, ...]}
_BOOL = ("private", "stream", "estimated", "complete")
# Under load one statement takes this many rows. It costs half of what a statement per row does, and the interpreter is
# handed over to the requests once for all of them.
_AT_ONCE = 50
# Far more than a station's engines, models and prices come to.
_MOST_BACKENDS = 4096


class _Insert:
    """The statements for one set of columns. The first record of an id stays: to replay a journal changes nothing."""

    def __init__(self, columns: Sequence[str]) -> None:
        into = f"INSERT OR IGNORE INTO requests ({', '.join(columns)}) VALUES "  # noqa: S608 (our own names)
        values = f"({', '.join('?' * len(columns))})"
        self.one = into + values
        self.many = into + ", ".join([values] * _AT_ONCE)


_INSERT = _Insert(_COLUMNS)
_INSERT_WHOLE = _Insert(_COLUMNS + _RARE)
_FIND_BACKEND = f"SELECT id FROM backends WHERE ({', '.join(_BACKEND)}) = (?, ?, ?, ?, ?)"  # noqa: S608
_ADD_BACKEND = f"INSERT INTO backends ({', '.join(_BACKEND)}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
_ROWS = (
    f"SELECT requests.*, {', '.join(_BACKEND)} "  # noqa: S608
    "FROM requests LEFT JOIN backends ON backends.id = requests.backend "
)
_FIND = _ROWS + "WHERE requests.id = ?"
_LATEST = _ROWS + "WHERE ? IS NULL OR requests.key = ? ORDER BY requests.time DESC, requests.rowid DESC LIMIT ?"
_BEGIN = """INSERT OR IGNORE INTO attempts (id, target, time, key, environment, reserve_usd)
            SELECT ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM requests WHERE id = ?)"""
_SPENDING = f"""
    SELECT cast(time / 3600 AS INTEGER) * 3600.0 AS time, environment, key, sum({SPENT_USD}) AS usd FROM requests
    WHERE time >= ? AND locality = 'cloud' AND cost_usd > 0 AND (status < 400 OR status = 499) GROUP BY 1, 2, 3
    UNION ALL SELECT time, environment, key, reserve_usd FROM attempts WHERE time >= ? AND reserve_usd > 0
    UNION ALL SELECT hour, environment, '', usd FROM erased_spending WHERE hour >= ?
"""  # noqa: S608 (a constant)


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

    def latest(self, count: int, key: str | None) -> list[Entry]:
        """The newest requests, the newest first; of one key, or of all where it is None."""
        ...

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Read, in SQL over the ledger's schema: what the reports are made of."""
        ...

    def spending(self, since: float) -> list[tuple[float, str, str, float]]:
        """What this router spent at clouds since then (Unix seconds): time, environment, key, US dollars.

        Attempts without an end count with what was reserved for them.
        """
        ...

    def remove(self, removal: Removal, now: float) -> Removed:
        """Take rows out; from any thread. Raises `StoreError`, OSError and sqlite3.Error."""
        ...

    def refresh(self) -> None:
        """Called now and then by the drain thread: take over what others wrote. Never raises."""
        ...

    def close(self) -> None: ...


class SqliteStore:
    """One file in WAL mode: readers, `sqlite3` on the host among them, never wait for the writer."""

    def __init__(self, path: Path) -> None:
        """Open or create; an older schema is brought to the present one. Raises `StoreError`."""
        self.path = path
        self._backends: dict[tuple[str, ...], int] = {}
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
        # Where the file is written anew (retention), there is room, and a container has no other directory to write to.
        self._writer.execute(f"PRAGMA temp_store_directory = {_quoted(str(self.path.parent.absolute()))}")

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
            ended = self._insert(entries)
            writer.executemany("DELETE FROM attempts WHERE id = ?", ended)
            writer.executemany(_BEGIN, map(_attempt, begins))
            writer.execute("COMMIT")
        except BaseException as error:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            self._backends.clear()  # those that were new are gone with it
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"{self.path}: {error}; free space, or restore the file") from error
            raise

    def _insert(self, entries: list[Entry]) -> list[tuple[str]]:
        """Write rows; the ids of those that had to do with a cloud."""
        usual: list[tuple[object, ...]] = []
        whole: list[tuple[object, ...]] = []
        clouds: list[tuple[str]] = []
        for entry in entries:
            sent = 0
            for tried in entry.tries:
                if tried.locality == "cloud":
                    clouds.append((entry.id,))
                    sent += tried.outcome not in _NOT_SENT
            row = _row(entry, sent, self._backend(entry))
            rare = _rare(entry)
            if rare == _USUAL:
                usual.append(row)
            else:
                whole.append(row + rare)
        self._write(_INSERT, usual)
        self._write(_INSERT_WHOLE, whole)
        return clouds

    def _write(self, insert: _Insert, rows: list[tuple[object, ...]]) -> None:
        full = len(rows) - len(rows) % _AT_ONCE
        for start in range(0, full, _AT_ONCE):
            self._writer.execute(insert.many, list(chain.from_iterable(rows[start : start + _AT_ONCE])))
        self._writer.executemany(insert.one, rows[full:])

    def _backend(self, entry: Entry) -> int:
        """The number of what answered; it is added where it is new."""
        facts = (entry.engine, entry.engine_version, entry.digest, entry.station, entry.prices)
        known = self._backends.get(facts)
        if known is not None:
            return known
        found = self._writer.execute(_FIND_BACKEND, facts).fetchone()
        number = int(found[0]) if found else self._writer.execute(_ADD_BACKEND, facts).lastrowid or 0
        if len(self._backends) >= _MOST_BACKENDS:
            self._backends.clear()
        self._backends[facts] = number
        return number

    def abandon(self) -> int:
        self._writer.execute("UPDATE attempts SET unfinished = 1 WHERE NOT unfinished")
        (count,) = self._writer.execute("SELECT count(*) FROM attempts").fetchone()
        return int(count)

    def find(self, id: str) -> Entry | None:
        found = self.rows(_FIND, (id,))
        return _entry(found[0]) if found else None

    def latest(self, count: int, key: str | None) -> list[Entry]:
        return [_entry(row) for row in self.rows(_LATEST, (key, key, count))]

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        # A connection per call: reads are rare, and may come from any thread.
        reader = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5.0)
        try:
            reader.row_factory = sqlite3.Row
            return [dict(row) for row in reader.execute(sql, tuple(values))]
        finally:
            reader.close()

    def spending(self, since: float) -> list[tuple[float, str, str, float]]:
        found = self.rows(_SPENDING, (since, since, since))
        return [(row["time"], row["environment"], row["key"], row["usd"]) for row in found]

    def remove(self, removal: Removal, now: float) -> Removed:
        return remove(self.path, removal, now, live=True)

    def refresh(self) -> None:
        """Nobody else writes."""

    def close(self) -> None:
        self._writer.close()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _row(entry: Entry, cloud_tries: int, backend: int) -> tuple[object, ...]:
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
        cloud_tries,
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
        backend,
    )


def _rare(entry: Entry) -> tuple[object, ...]:
    return (
        entry.waited,
        entry.purpose,
        entry.code,
        entry.reasoning_tokens,
        entry.project,
        entry.reserved_usd,
        entry.choices,
        entry.output_limit,
    )


def _attempt(begin: Begin) -> tuple[object, ...]:
    return (begin.id, begin.target, begin.time, begin.key, begin.environment, begin.reserve_usd, begin.id)


def _entry(row: dict[str, Any]) -> Entry:
    del row["cloud_tries"], row["backend"]
    for name, kind in _JSON.items():
        row[name] = msgspec.json.decode(row[name], type=kind)
    for name in _BOOL:
        row[name] = bool(row[name])
    return Entry(**row)
