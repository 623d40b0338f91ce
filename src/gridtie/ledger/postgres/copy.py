"""A replica's copy of the ledger: a whole one, in SQLite, with how far it has followed each replica.

Reports, the dashboard and `sqlite3` on the host read it as they read the ledger of a router that is alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gridtie.ledger.entry import Entry
from gridtie.ledger.journal import Begin, Record
from gridtie.ledger.store import SqliteStore, StoreError

# Beside the ledger's own tables, whose version it has nothing to do with.
_FOLLOWED = """
    CREATE TABLE IF NOT EXISTS followed (
      database TEXT NOT NULL,        -- its id
      what TEXT NOT NULL,            -- requests, attempts, removals
      replica TEXT NOT NULL,
      number INTEGER NOT NULL,       -- the last that is here
      PRIMARY KEY (database, what, replica)
    ) STRICT
"""
_MARK = "UPDATE attempts SET unfinished = 1 WHERE (id, target, time) = (?, ?, ?)"
# What is followed -> replica -> the number of the last that is in the copy.
Followed = Mapping[str, Mapping[str, int]]
# As many rows as say whether two ledgers are one.
_SOME_IDS = """
    SELECT id FROM (SELECT id FROM requests ORDER BY time LIMIT 1000)
    UNION SELECT id FROM (SELECT id FROM requests ORDER BY time DESC LIMIT 1000)
"""
_AT_ONCE = 500


class Copy(SqliteStore):
    """Written by the thread that drains, as every ledger."""

    def __init__(self, path: Path) -> None:
        """Raises `StoreError`."""
        super().__init__(path)
        try:
            self._writer.execute(_FOLLOWED)
        except sqlite3.Error as error:
            self._writer.close()
            raise StoreError(f"{path}: {error}; free space, or restore the file") from error

    def followed(self, database: str) -> Followed | None:
        """None where it has not followed this database yet: then what it has was not offered either."""
        found: dict[str, dict[str, int]] = {"requests": {}, "attempts": {}, "removals": {}}
        for row in self.rows("SELECT what, replica, number FROM followed WHERE database = ?", (database,)):
            found[row["what"]][row["replica"]] = row["number"]
        return found if found["removals"] else None

    def follow(self, database: str, what: str, numbers: Mapping[str, int]) -> None:
        """Note how far it has come; after the rows themselves, which may come twice. Raises `StoreError`."""
        rows: list[tuple[object, ...]] = [(database, what, replica, number) for replica, number in numbers.items()]
        self._run("INSERT OR REPLACE INTO followed VALUES (?, ?, ?, ?)", rows)

    def mark_unfinished(self, begins: Iterable[Begin]) -> None:
        """Attempts whose process is gone. Raises `StoreError`."""
        self._run(_MARK, [(begin.id, begin.target, begin.time) for begin in begins])

    def some_ids(self) -> list[str]:
        """Of the requests that are here the first ones and the last ones."""
        rows = self.rows(_SOME_IDS)
        return [row["id"] for row in rows]

    def everything(self) -> Iterator[list[Record]]:
        """All that is here, in batches."""
        begun = self.rows("SELECT id, target, time, key, environment, reserve_usd FROM attempts")
        attempts: list[Record] = [Begin(**row) for row in begun]
        for at in range(0, len(attempts), _AT_ONCE):
            yield attempts[at : at + _AT_ONCE]
        last = 0
        while entries := self._after(last):
            yield [entry for _, entry in entries]
            last = entries[-1][0]

    def _after(self, rowid: int) -> list[tuple[int, Entry]]:
        found: list[dict[str, Any]] = self.rows(
            "SELECT rowid, id FROM requests WHERE rowid > ? ORDER BY rowid LIMIT ?", (rowid, _AT_ONCE)
        )
        entries = ((row["rowid"], self.find(row["id"])) for row in found)
        return [(number, entry) for number, entry in entries if entry is not None]

    def _run(self, sql: str, rows: list[tuple[object, ...]]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany(sql, rows)
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise StoreError(f"{self.path}: {error}; free space, or restore the file") from error
