"""Keys that several routers have in common: what changes in the keys.json of one is taken up by all.

Changes are handed over, and not files: a file that nobody has touched for a month does not undo what was done elsewhere
since. A name that was taken away is remembered, so that it does not come back with a file from before.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gridtie.ledger.postgres.database import Cursor, Database
from gridtie.ledger.store import StoreError

log = logging.getLogger("gridtie.config")

# One of keys.json, as it is written there.
Row = Mapping[str, Any]

# The playbook's, for one machine.
STATION = "station"

_PUBLISH = """
    INSERT INTO gridtie.keys (name, entry) VALUES (%s, %s)
    ON CONFLICT (name) DO UPDATE SET entry = excluded.entry, number = nextval('gridtie.numbers')
"""
_OFFER = "INSERT INTO gridtie.keys (name, entry) VALUES (%s, %s) ON CONFLICT DO NOTHING"


class SharedKeys:
    """One replica's view of them. Calls come one at a time."""

    def __init__(self, database: Database, path: Path) -> None:
        """`path`: where it is noted what was handed over of this machine's file."""
        self._database = database
        self._path = path
        # By name; None: not heard from the database yet.
        self._known: dict[str, Row] | None = None
        self._number = 0
        # Whether a change of this machine is still to be told.
        self._owing = False

    def merged(self, rows: Sequence[Row]) -> list[Row]:
        """All keys, those of this machine's file among them, and of that what has changed since is handed over.

        Where the database cannot be asked: those that were known, and the changes of this machine.
        """
        own = [row for row in rows if not _shared(row)]
        mine = {row["name"]: row for row in rows if _shared(row)}
        before = self._handed_over()
        changed = {name: row for name, row in mine.items() if before is None or before.get(name) != row}
        gone = [] if before is None else [name for name in before if name not in mine]
        try:
            with self._database.transaction() as cursor:
                _hand_over(cursor, changed, gone, first=before is None)
                known, number = _all(cursor)
        except StoreError as error:
            # Said by the connection as well; here it is a change of somebody's that does not get through.
            self._owing = bool(changed or gone)
            if self._owing:
                log.error("a change of keys is not told to the other routers yet: %s", error)  # noqa: TRY400
            known = {**(self._known or {}), **changed}
            return [*own, *(row for name, row in known.items() if name not in gone)]
        if changed or gone or before is None:
            self._note(mine)
        self._known, self._number, self._owing = known, number, False
        names = {row["name"] for row in own}
        return [*own, *(row for name, row in known.items() if name not in names)]

    def moved(self) -> bool:
        """Whether there is anything to be told or heard since `merged`. Raises `StoreError`."""
        with self._database.transaction() as cursor:
            cursor.execute("SELECT coalesce(max(number), 0) FROM gridtie.keys")
            (number,) = cursor.fetchone() or (0,)
        return self._owing or bool(number != self._number)

    def _handed_over(self) -> dict[str, Row] | None:
        """What this machine's file had when it was last handed over to this database; None: it never was."""
        try:
            noted = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            log.exception("%s cannot be read: keys of this machine's file are offered anew", self._path)
            return None
        return noted["keys"] if noted.get("database") == self._database.id else None

    def _note(self, mine: Mapping[str, Row]) -> None:
        scratch = self._path.with_name(self._path.name + ".part")
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps({"database": self._database.id, "keys": mine}))
        scratch.replace(self._path)


def _shared(row: Row) -> bool:
    return row["name"] != STATION and not row.get("relay")


def _hand_over(cursor: Cursor, changed: Mapping[str, Row], gone: Iterable[str], *, first: bool) -> None:
    """At first nothing that is there is changed: which of two rows is the newer one is not known."""
    statement = _OFFER if first else _PUBLISH
    cursor.executemany(statement, [(name, json.dumps(row)) for name, row in changed.items()])
    cursor.executemany(_PUBLISH, [(name, None) for name in gone])


def _all(cursor: Cursor) -> tuple[dict[str, Row], int]:
    cursor.execute("SELECT name, entry, number FROM gridtie.keys ORDER BY name")
    found = cursor.fetchall()
    known = {name: entry for name, entry, _ in found if entry is not None}
    return known, max((number for *_, number in found), default=0)
