"""How rows leave the ledger: those that are old enough, or those of one key.

The ledger's copies from before a migration lose the same rows, and `torn/` loses what cannot be told apart. Space is
given back to the disk. What the rows had spent stays in the budgets' sums, without the key's name.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from gridtie.ledger.schema import SPENT_USD
from gridtie.ledger.usage import UsageError, span

# A budget counts a calendar month, so that its rows are up to 31 days old; a day of slack.
KEEP_SECONDS = 32 * 24 * 3600
# Rows that are looked at in one step: whoever else writes waits for no more.
_AT_ONCE = 5000
# What SQLite needs beside the ledger's own size to write it anew.
_RESERVE_BYTES = 16 << 20


class Removal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to leave: rows older than `older_than` (`90d`), or all rows of `key`."""

    older_than: str | None = None
    key: str | None = None

    @classmethod
    def read(cls, body: bytes | bytearray) -> Removal:
        """From the body of a request. Raises `UsageError`."""
        try:
            removal = msgspec.json.decode(body, type=cls)
        except msgspec.DecodeError as error:
            raise UsageError(f'{error}; wanted {{"older_than": "90d"}} or {{"key": "NAME"}}') from None
        removal.check()
        return removal

    def check(self) -> None:
        """Raises `UsageError`."""
        if (self.older_than is None) == (self.key is None) or self.key == "":
            raise UsageError('one of the two is wanted: {"older_than": "90d"} or {"key": "NAME"}')
        if self.older_than is None:
            return
        seconds = span(self.older_than)
        if seconds is None:
            raise UsageError(f"older_than {self.older_than[:80]!r} found; wanted a time span such as 90d or 52w")
        if seconds < KEEP_SECONDS:
            raise UsageError(
                f"older_than {self.older_than} found; at least {KEEP_SECONDS // 86400}d is wanted: "
                "budgets count the rows of a month"
            )

    def column(self, now: float) -> tuple[Literal["key", "time"], object]:
        """What rows are told by: those of a key, or those from before a time; and which."""
        if self.key is not None:
            return "key", self.key
        return "time", now - (span(self.older_than or "") or 0)

    def condition(self, now: float) -> tuple[str, object]:
        """SQL over `requests` and `attempts`, with its one value."""
        column, value = self.column(now)
        return ("key = ?" if column == "key" else "time < ?"), value


class Removed(msgspec.Struct, kw_only=True):
    """What was done to one file."""

    rows: int = 0
    attempts: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    # Why space was not given back; "" where it was, or where there was none.
    space: str = ""


def remove(path: Path, removal: Removal, now: float, *, live: bool) -> Removed:
    """Take the rows out of one ledger file, in steps between which others write. Raises sqlite3.Error.

    Deleted content is overwritten. `live`: it is the ledger in use and no copy: attempts in flight stay, and what a
    key's rows spent at clouds goes on counting.
    """
    removed = Removed(bytes_before=_size(path))
    connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
    try:
        connection.execute("PRAGMA secure_delete = ON")
        removed.rows = _remove_requests(connection, removal, now, live)
        removed.attempts = _remove_attempts(connection, removal, now, live)
        if removed.rows or removed.attempts:
            removed.space = _give_back(connection, path)
    finally:
        connection.close()
    removed.bytes_after = _size(path)
    return removed


def _remove_requests(connection: sqlite3.Connection, removal: Removal, now: float, live: bool) -> int:
    where, value = removal.condition(now)
    first, last = connection.execute(
        "SELECT coalesce(min(rowid), 0), coalesce(max(rowid), -1) FROM requests"
    ).fetchone()
    gone = 0
    for low in range(first, last + 1, _AT_ONCE):
        part = (low, low + _AT_ONCE, value)
        connection.execute("BEGIN IMMEDIATE")
        if live and removal.key is not None:
            connection.execute(_KEEP_SPENT, (*part, now - KEEP_SECONDS))
        gone += connection.execute(_DELETE + where, part).rowcount
        connection.execute("COMMIT")
    return gone


def _remove_attempts(connection: sqlite3.Connection, removal: Removal, now: float, live: bool) -> int:
    """Those without an end; one that is in flight goes by itself when its request ends."""
    where, value = removal.condition(now)
    connection.execute("BEGIN IMMEDIATE")
    if live:
        connection.execute("DELETE FROM erased_spending WHERE hour < ?", (now - KEEP_SECONDS,))
        if removal.key is not None:
            connection.execute(_KEEP_RESERVED, (value, now - KEEP_SECONDS))
    ended = "unfinished AND " if live else ""
    gone = connection.execute(f"DELETE FROM attempts WHERE {ended}{where}", (value,)).rowcount  # noqa: S608
    connection.execute("COMMIT")
    return gone


_DELETE = "DELETE FROM requests WHERE rowid >= ? AND rowid < ? AND "
_KEEP_SPENT = f"""
    INSERT INTO erased_spending (hour, environment, usd)
    SELECT cast(time / 3600 AS INTEGER) * 3600.0, environment, sum({SPENT_USD}) FROM requests
    WHERE rowid >= ? AND rowid < ? AND key = ? AND time >= ?
      AND locality = 'cloud' AND cost_usd > 0 AND (status < 400 OR status = 499)
    GROUP BY 1, 2
"""  # noqa: S608 (a constant)
_KEEP_RESERVED = """
    INSERT INTO erased_spending (hour, environment, usd)
    SELECT time, environment, reserve_usd FROM attempts
    WHERE unfinished AND key = ? AND time >= ? AND reserve_usd > 0
"""


def _give_back(connection: sqlite3.Connection, path: Path) -> str:
    """Write the file anew without the holes; why not, where it cannot be done."""
    (needed,) = connection.execute(
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    ).fetchone()
    free = shutil.disk_usage(path.parent).free
    wanted = 2 * needed + _RESERVE_BYTES
    if free < wanted:
        return (
            f"{free >> 20} MiB are free in {path.parent}, {wanted >> 20} MiB are wanted to write the ledger anew; "
            "what was deleted is overwritten, and its room is used again"
        )
    try:
        connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        return f"{path.name} cannot be written anew now ({error}); its room is used again"
    # Old pages are in the log until it is cut; where somebody reads at the moment, the next one who writes does it.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return ""


def drop_torn(directory: Path, removal: Removal, now: float) -> int:
    """Delete what was set aside as unreadable: the old ones, or all where a key is erased, since whose they are
    cannot be told for sure. How many. Raises OSError.
    """
    found: Iterable[Path] = sorted(directory.glob("*.bin"))
    if removal.key is None:
        _, before = removal.condition(now)
        found = [path for path in found if path.stat().st_mtime < before]  # type: ignore[operator]
    count = 0
    for path in found:
        path.unlink(missing_ok=True)
        count += 1
    return count


def _size(path: Path) -> int:
    """Of the file and its log."""
    return sum(each.stat().st_size for each in (path, path.with_name(path.name + "-wal")) if each.exists())
