"""Brings an older ledger to the present schema: each step whole or not at all, and never without a copy of what was.

The copy lies beside the ledger as `ledger-schema<n>-<UTC time>.sqlite` and is a whole ledger of its own: to go back to
an older gridtie, stop the router and put it in the ledger's place.
"""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger("gridtie.ledger")

# Copies that are kept, the newest ones: each is as large as the ledger was.
KEPT = 3
# Pages that are copied at a time (SQLite's are 4 KiB): the copy of a large ledger does not hold up the log.
_PAGES = 2048
# What a copy needs beside its own size: SQLite's own files and the rows of the requests that come meanwhile.
_RESERVE_BYTES = 16 << 20


class MigrationError(Exception):
    """The ledger stays as it was; the message names what was found and what to do."""


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> Path | None:
    """Run the steps that the ledger at `path` lacks; gives the copy that was made, None where none was needed.

    `connection` is open on it in autocommit mode. A new ledger has nothing to copy. Raises MigrationError and
    sqlite3.Error; steps that were done before the one that failed stay, since each leaves a whole schema.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    newest = len(migrations)
    if version > newest:
        raise MigrationError(
            f"{path}: ledger schema {version} found, {newest} is the newest this gridtie knows; "
            "start the newer gridtie that wrote it, or move the file away"
        )
    if version == newest:
        return None
    copy = back_up(connection, path, version) if version else None
    for number in range(version, newest):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {migrations[number]} PRAGMA user_version = {number + 1}; COMMIT;"
            )
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise MigrationError(
                    f"{path}: the step from schema {number} to {number + 1} failed ({error}); the ledger has schema "
                    f"{number} as before{f', and a copy is in {copy.name}' if copy else ''}; free space, or start the "
                    "gridtie that wrote it"
                ) from error
            raise
    if copy:
        log.warning("ledger: schema %d became %d; what it was before is in %s", version, newest, copy)
    return copy


def back_up(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """A consistent copy of the ledger beside it, the last few of which are kept. Raises MigrationError."""
    for leftover in path.parent.glob(f".{path.stem}-*.part*"):
        leftover.unlink()
    (size,) = connection.execute(
        "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    ).fetchone()
    free = shutil.disk_usage(path.parent).free
    if free < size + _RESERVE_BYTES:
        raise MigrationError(
            f"{path.parent}: {free >> 20} MiB are free, and the copy of the ledger that is made before its schema "
            f"changes needs {(size + _RESERVE_BYTES) >> 20} MiB; free some"
        )
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    target = path.with_name(f"{path.stem}-schema{version}-{now}{path.suffix}")
    scratch = path.with_name(f".{target.name}.part")
    try:
        copy = sqlite3.connect(scratch)
        try:
            connection.backup(copy, pages=_PAGES)
            (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            copy.close()
        if verdict != "ok":
            raise MigrationError(f"{path}: the copy that is made before the schema changes is damaged: {verdict}")
        scratch.chmod(0o640)
        scratch.replace(target)
    except (sqlite3.Error, OSError) as error:
        scratch.unlink(missing_ok=True)
        raise MigrationError(
            f"{path}: it cannot be copied before its schema changes ({error}); nothing was changed; free space, or "
            "restore access"
        ) from error
    for old in copies(path)[:-KEPT]:
        old.unlink()
    return target


def copies(path: Path) -> list[Path]:
    """The copies that lie beside the ledger, oldest first."""
    name = re.compile(rf"{re.escape(path.stem)}-schema\d+-(\d{{8}}T\d{{6}}Z){re.escape(path.suffix)}")
    found = [(match[1], each) for each in path.parent.iterdir() if (match := name.fullmatch(each.name))]
    return [each for _, each in sorted(found)]
