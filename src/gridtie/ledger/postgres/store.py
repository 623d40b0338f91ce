"""Where the records of several routers are kept: in PostgreSQL, with a copy in SQLite that answers what is asked.

The copy follows: what a replica writes is in the copies of the others a second later.
"""

from __future__ import annotations

import logging
import secrets
import socket
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from gridtie.ledger.entry import Entry
from gridtie.ledger.journal import Begin, Record, encode
from gridtie.ledger.postgres.address import Address
from gridtie.ledger.postgres.copy import Copy
from gridtie.ledger.postgres.database import Cursor, Database
from gridtie.ledger.retention import KEEP_SECONDS, Removal, Removed, remove
from gridtie.ledger.store import StoreError

log = logging.getLogger("gridtie.ledger")

# Seconds between two looks at what the others wrote, and between two signs of life.
FOLLOW_SECONDS = 1.0
_ALIVE_SECONDS = 5.0
# A month's rows of a large team, on a slow disk.
_REMOVAL_SECONDS = 600.0
# Rows of each replica that are fetched at a time, and how often in a row: what is to be saved comes first.
_AT_ONCE = 500
_MOST_FETCHES = 20

_decode = msgspec.json.Decoder(Entry).decode
_decode_removal = msgspec.json.Decoder(Removal).decode

_SAVE = """
    INSERT INTO gridtie.requests (id, replica, time, key, environment, spent_usd, entry)
    SELECT id, %s, time, key, environment, spent_usd, entry::json
    FROM unnest(%s::text[], %s::float8[], %s::text[], %s::text[], %s::float8[], %s::text[])
      AS given (id, time, key, environment, spent_usd, entry)
    ON CONFLICT DO NOTHING
    RETURNING number
"""
_BEGIN = """
    INSERT INTO gridtie.attempts (id, target, time, replica, key, environment, reserve_usd)
    SELECT id, target, time, %s, key, environment, reserve_usd
    FROM unnest(%s::text[], %s::text[], %s::float8[], %s::text[], %s::text[], %s::float8[])
      AS given (id, target, time, key, environment, reserve_usd)
    WHERE NOT EXISTS (SELECT 1 FROM gridtie.requests WHERE requests.id = given.id)
    ON CONFLICT DO NOTHING
"""
_ABANDON = """
    UPDATE gridtie.attempts SET unfinished = true, number = nextval('gridtie.numbers')
    WHERE replica = %s AND NOT unfinished
"""
# Of every replica what came after the last that is known of it.
_NEWER = """
    SELECT name, newer.* FROM gridtie.replicas
    LEFT JOIN unnest(%s::text[], %s::bigint[]) AS known (replica, last) ON replica = name
    CROSS JOIN LATERAL (
      SELECT number, {columns} FROM gridtie.{table}
      WHERE {table}.replica = name AND number > coalesce(last, 0) ORDER BY number LIMIT %s
    ) AS newer
    ORDER BY number
"""
_NEWER_REQUESTS = _NEWER.format(table="requests", columns="entry::text")
_NEWER_ATTEMPTS = _NEWER.format(table="attempts", columns="id, target, time, key, environment, reserve_usd, unfinished")
_SPENDING = """
    SELECT floor(time / 3600) * 3600, environment, key, sum(spent_usd) FROM gridtie.requests
    WHERE replica = %(replica)s AND time >= %(since)s AND spent_usd > 0 GROUP BY 1, 2, 3
    UNION ALL SELECT time, environment, key, reserve_usd FROM gridtie.attempts
    WHERE replica = %(replica)s AND time >= %(since)s AND reserve_usd > 0
    UNION ALL SELECT hour, environment, '', usd FROM gridtie.erased_spending
    WHERE replica = %(replica)s AND hour >= %(since)s
"""
_KEEP_SPENT = """
    INSERT INTO gridtie.erased_spending (replica, hour, environment, usd)
    SELECT replica, floor(time / 3600) * 3600, environment, sum(spent_usd) FROM gridtie.requests
    WHERE key = %(key)s AND time >= %(since)s AND spent_usd > 0 GROUP BY 1, 2, 3
    UNION ALL SELECT replica, time, environment, reserve_usd FROM gridtie.attempts
    WHERE unfinished AND key = %(key)s AND time >= %(since)s AND reserve_usd > 0
"""


def replica_name(directory: Path) -> str:
    """The name that goes with a ledger's directory, made at the first time. Raises OSError.

    Its journal, attempts and leases are this replica's, wherever its container is next.
    """
    path = directory / "replica"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        name = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
        with path.open("x") as stream:
            stream.write(name + "\n")
        return name


class PostgresStore:
    """The `Store` of one of several routers."""

    def __init__(self, address: Address, path: Path) -> None:
        """Connect; `path` is the copy's. Raises `StoreError`, and OSError where the directory cannot be written."""
        self.path = path
        self.replica = replica_name(path.parent)
        self._copy = Copy(path)
        try:
            self.database = Database(address, self.replica)
        except BaseException:
            self._copy.close()
            raise
        self._look_at = self._alive_at = 0.0
        self._behind = False
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    # The contract

    def save(self, records: Iterable[Record]) -> None:
        batch = list(records)
        entries = [record for record in batch if not isinstance(record, Begin)]
        begins = [record for record in batch if isinstance(record, Begin)]
        if not batch:
            return
        with self.database.transaction() as cursor:
            # Entries first: of an attempt that begins and ends in one batch, only the end is kept.
            last = self._insert(cursor, entries)
            cursor.execute(_BEGIN, (self.replica, *_columns(map(_begun, begins), 6)))
        self._copy.save(batch)
        if last:
            self._copy.follow(self.database.id, "requests", {self.replica: last})

    def abandon(self) -> int:
        with self.database.transaction() as cursor:
            cursor.execute(_ABANDON, (self.replica,))
            cursor.execute("SELECT count(*) FROM gridtie.attempts WHERE replica = %s", (self.replica,))
            (count,) = cursor.fetchone() or (0,)
        self._follow()
        return int(count)

    def find(self, id: str) -> Entry | None:
        return self._copy.find(id)

    def latest(self, count: int, key: str | None) -> list[Entry]:
        return self._copy.latest(count, key)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        return self._copy.rows(sql, values)

    def spending(self, since: float) -> list[tuple[float, str, str, float]]:
        with self.database.transaction() as cursor:
            cursor.execute(_SPENDING, {"replica": self.replica, "since": since})
            return [(time, environment, key, usd) for time, environment, key, usd in cursor.fetchall()]

    def remove(self, removal: Removal, now: float) -> Removed:
        column, value = removal.column(now)
        with self.database.transaction(_REMOVAL_SECONDS) as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("DELETE FROM gridtie.erased_spending WHERE hour < %s", (now - KEEP_SECONDS,))
            if removal.key is not None:
                cursor.execute(_KEEP_SPENT, {"key": removal.key, "since": now - KEEP_SECONDS})
            where = "key = %s" if column == "key" else "time < %s"
            cursor.execute(f"DELETE FROM gridtie.requests WHERE {where}".encode(), (value,))  # noqa: S608
            cursor.execute(f"DELETE FROM gridtie.attempts WHERE unfinished AND {where}".encode(), (value,))  # noqa: S608
            cursor.execute(
                "INSERT INTO gridtie.removals (time, removal) VALUES (%s, %s::json)",
                (now, msgspec.json.encode(removal).decode()),
            )
        # The others do so when they next look; to do it twice changes nothing.
        return remove(self.path, removal, now, live=True)

    def refresh(self) -> None:
        now = monotonic()
        if now < self._look_at:
            return
        self._look_at = now + FOLLOW_SECONDS
        try:
            if now >= self._alive_at:
                self._live()
                self._alive_at = now + _ALIVE_SECONDS
            if self._follow():
                self._look_at = now
        except StoreError as error:
            # That the database is gone is said by the connection; what is to be saved waits in the journal.
            if not self._behind:
                log.error("ledger: what other replicas write cannot be followed: %s", error)  # noqa: TRY400
            self._behind = True
            return
        self._behind = False

    def close(self) -> None:
        # From now on nothing is shared with this replica.
        with suppress(StoreError), self.database.transaction() as cursor:
            cursor.execute("UPDATE gridtie.replicas SET seen = '-infinity' WHERE name = %s", (self.replica,))
        self.database.close()
        self._copy.close()

    # Writing

    def _insert(self, cursor: Cursor, entries: list[Entry]) -> int:
        """Write rows; the number of the last, 0 where all of them were there."""
        clouds = [entry.id for entry in entries if any(tried.locality == "cloud" for tried in entry.tries)]
        cursor.execute(_SAVE, (self.replica, *_columns(map(_row, entries), 6)))
        last = max((number for (number,) in cursor.fetchall()), default=0)
        cursor.execute("DELETE FROM gridtie.attempts WHERE id = ANY(%s)", (clouds,))
        return last

    def _live(self) -> None:
        with self.database.transaction() as cursor:
            cursor.execute(
                "INSERT INTO gridtie.replicas (name) VALUES (%s) "
                "ON CONFLICT (name) DO UPDATE SET seen = clock_timestamp()",
                (self.replica,),
            )
            self.database.compare_clocks(cursor)

    # Following

    def _begin(self) -> None:
        """The first contact of a ledger with a database brings what it had so far."""
        if self._copy.followed(self.database.id) is not None:
            self._live()
            self._follow()
            return
        ids = self._copy.some_ids()
        if ids and not self._is_ours(ids):
            raise StoreError(
                f"{self.database.address.shown} holds the requests of another station than {self.path}; where they "
                "are to be one, move that file away and keep it (its rows stay in it alone), else give this station "
                "a database of its own"
            )
        self._live()
        removed = self._last_removal()
        for batch in self._copy.everything():
            self.save(batch)
        # Last: what was cut off before this is done again.
        self._copy.follow(self.database.id, "removals", {"": removed})
        self._follow()

    def _is_ours(self, ids: list[str]) -> bool:
        """Whether the database is empty, or has some of these requests."""
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT NOT EXISTS (SELECT 1 FROM gridtie.requests) "
                "OR EXISTS (SELECT 1 FROM gridtie.requests WHERE id = ANY(%s))",
                (ids,),
            )
            (ours,) = cursor.fetchone() or (False,)
        return bool(ours)

    def _last_removal(self) -> int:
        """What was removed before this copy began was never in it."""
        with self.database.transaction() as cursor:
            cursor.execute("SELECT coalesce(max(number), 0) FROM gridtie.removals")
            (last,) = cursor.fetchone() or (0,)
        return int(last)

    def _follow(self) -> bool:
        """Take over what others wrote; whether there is more. Removals first: rows after them are meant to be here."""
        self._follow_removals()
        fetches = range(_MOST_FETCHES)
        return all(self._follow_attempts() for _ in fetches) or all(self._follow_requests() for _ in fetches)

    def _follow_removals(self) -> None:
        known = self._followed("removals").get("", 0)
        with self.database.transaction() as cursor:
            cursor.execute(
                "SELECT number, time, removal::text FROM gridtie.removals WHERE number > %s ORDER BY number", (known,)
            )
            found = cursor.fetchall()
        for number, time, removal in found:
            try:
                remove(self.path, _decode_removal(removal), time, live=True)
            except sqlite3.Error as error:
                raise StoreError(f"{self.path}: {error}; free space, or restore the file") from error
            self._copy.follow(self.database.id, "removals", {"": number})

    def _follow_attempts(self) -> bool:
        """Whether there may be more."""
        rows = self._newer(_NEWER_ATTEMPTS, "attempts")
        if rows:
            begins = [Begin(**dict(zip(_BEGIN_FIELDS, row[2:8], strict=True))) for row in rows]
            self._copy.save(begins)
            self._copy.mark_unfinished([begin for begin, row in zip(begins, rows, strict=True) if row[8]])
            self._copy.follow(self.database.id, "attempts", {row[0]: row[1] for row in rows})
        return len(rows) >= _AT_ONCE

    def _follow_requests(self) -> bool:
        rows = self._newer(_NEWER_REQUESTS, "requests")
        if rows:
            self._copy.save([entry for row in rows if (entry := _decoded(row[2])) is not None])
            self._copy.follow(self.database.id, "requests", {row[0]: row[1] for row in rows})
        return len(rows) >= _AT_ONCE

    def _newer(self, sql: str, what: str) -> list[tuple[Any, ...]]:
        known = self._followed(what)
        with self.database.transaction() as cursor:
            cursor.execute(sql.encode(), (list(known), list(known.values()), _AT_ONCE))
            return cursor.fetchall()

    def _followed(self, what: str) -> Mapping[str, int]:
        followed = self._copy.followed(self.database.id)
        return {} if followed is None else followed[what]


def _decoded(row: str) -> Entry | None:
    try:
        return _decode(row)
    except msgspec.DecodeError:
        log.exception("ledger: a row of another replica cannot be read, and is not in this one's copy")
        return None


_BEGIN_FIELDS = ("id", "target", "time", "key", "environment", "reserve_usd")


def _row(entry: Entry) -> tuple[object, ...]:
    spent = entry.spent_usd if entry.cost_usd else 0.0
    return entry.id, entry.time, _text(entry.key), _text(entry.environment), spent, encode(entry).decode()


def _begun(begin: Begin) -> tuple[object, ...]:
    return begin.id, begin.target, begin.time, _text(begin.key), _text(begin.environment), begin.reserve_usd


def _text(text: str) -> str:
    """A column of PostgreSQL holds no U+0000; the row itself, which is JSON, does."""
    return text.replace("\0", "")


def _columns(rows: Iterable[tuple[object, ...]], count: int) -> list[list[object]]:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return columns or [[] for _ in range(count)]
