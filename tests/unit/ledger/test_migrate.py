"""An old ledger becomes a new one whole, with a copy of what it was, or stays as it is."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from gridtie.ledger import StoreError, migrate, store
from gridtie.ledger.journal import frame
from gridtie.ledger.migrate import KEPT, MigrationError, copies
from gridtie.ledger.migrate import migrate as run
from gridtie.ledger.schema import MIGRATIONS
from gridtie.ledger.store import SqliteStore
from standins.ledger import cloud, local, open_ledger, refused

# What the first released gridtie wrote, rows and all.
SCHEMA_1 = (Path(__file__).parent / "schema-1.sql").read_text(encoding="utf-8")
# A later schema: the present one and two steps more.
LATER = (
    *MIGRATIONS,
    "ALTER TABLE requests ADD COLUMN engine TEXT NOT NULL DEFAULT '';",
    "CREATE TABLE notes (id TEXT PRIMARY KEY) STRICT; INSERT INTO notes SELECT id FROM requests;",
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA_1)
    connection.close()
    return path


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def version(path: Path) -> int:
    connection = connect(path)
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(found)


def ids(path: Path, table: str = "requests") -> list[str]:
    connection = connect(path)
    found = [row[0] for row in connection.execute(f"SELECT id FROM {table} ORDER BY id")]
    connection.close()
    return found


def test_a_ledger_of_the_first_release_is_read_by_this_one(old: Path) -> None:
    opened = SqliteStore(old)

    assert [opened.find(id) for id in "abc"] == [local("a", tags=("x",)), cloud("b"), refused("c")]
    assert opened.abandon() == 1
    opened.close()


def test_every_step_that_is_missing_is_run_in_order_after_a_copy(old: Path) -> None:
    connection = connect(old)

    copy = run(connection, old, LATER)

    assert version(old) == len(LATER)
    assert ids(old, "notes") == ["a", "b", "c"]
    assert copy is not None
    assert (version(copy), ids(copy)) == (1, ["a", "b", "c"])
    connection.close()


def test_a_new_ledger_and_one_that_is_up_to_date_are_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = connect(path)

    assert run(connection, path, LATER) is None
    assert run(connection, path, LATER) is None
    assert copies(path) == []
    connection.close()


def test_the_copy_holds_what_is_still_in_the_write_ahead_log(old: Path) -> None:
    writer = connect(old)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO attempts VALUES ('z', 't', 1.0, 'k', 'dev', 0.0, 0)")
    assert old.with_name("ledger.sqlite-wal").stat().st_size > 0

    copy = run(writer, old, LATER)

    assert copy is not None
    assert ids(copy, "attempts") == ["d", "z"]
    writer.close()


def test_only_the_last_few_copies_stay_and_other_files_are_left_alone(old: Path) -> None:
    names = [f"ledger-schema1-2026010{day}T000000Z.sqlite" for day in range(1, KEPT + 2)]
    for name in [*names, "ledger-mine.sqlite"]:
        old.with_name(name).write_text(name)
    connection = connect(old)

    copy = run(connection, old, LATER)

    assert [each.name for each in copies(old)] == [*names[2:], copy.name if copy else ""]
    assert old.with_name("ledger-mine.sqlite").exists()
    connection.close()


def test_a_newer_ledger_is_refused_with_both_numbers_and_not_touched(old: Path) -> None:
    connection = connect(old)
    connection.execute("PRAGMA user_version = 9")
    before = old.read_bytes()

    with pytest.raises(MigrationError, match=r"schema 9 found, 3 is the newest .* start the newer gridtie"):
        run(connection, old, LATER)

    assert old.read_bytes() == before
    assert copies(old) == []
    connection.close()


def test_a_step_that_fails_leaves_the_schema_before_it_and_the_next_start_goes_on(old: Path) -> None:
    broken = (*LATER[:2], "CREATE TABLE half (id TEXT) STRICT; INSERT INTO nowhere VALUES (1);")
    connection = connect(old)

    with pytest.raises(MigrationError, match=r"from schema 2 to 3 failed \(no such table: nowhere\)"):
        run(connection, old, broken)
    connection.close()

    assert version(old) == 2
    connection = connect(old)
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
    run(connection, old, LATER)
    assert version(old) == 3
    connection.close()


def test_a_full_disk_in_the_middle_of_a_step_leaves_the_ledger_as_it_was(old: Path) -> None:
    fill = "CREATE TABLE big (x BLOB) STRICT; INSERT INTO big VALUES (zeroblob(1000000));"
    connection = connect(old)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 10}")  # SQLite's own way to run out of space.

    with pytest.raises(MigrationError, match=r"database or disk is full.*free space"):
        run(connection, old, (*MIGRATIONS, fill))

    assert version(old) == 1
    assert ids(old) == ["a", "b", "c"]
    connection.close()


def test_without_room_for_the_copy_nothing_is_changed(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate.shutil, "disk_usage", lambda path: _Usage)
    connection = connect(old)

    with pytest.raises(MigrationError, match=r"1 MiB are free, and the copy .* needs 16 MiB"):
        run(connection, old, LATER)

    assert version(old) == 1
    connection.close()


class _Usage:
    free = 1 << 20


# A process of its own: the limit is one of the process, and it stands for a disk that fills up under the copy.
_COPY_WITHOUT_ROOM = """
import resource, sqlite3, sys
from pathlib import Path
from gridtie.ledger.migrate import MigrationError, migrate
from gridtie.ledger.schema import MIGRATIONS
path = Path(sys.argv[1])
connection = sqlite3.connect(path, isolation_level=None)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    migrate(connection, path, (*MIGRATIONS, "CREATE TABLE later (id TEXT) STRICT;"))
except MigrationError as error:
    print(error)
"""


def test_a_disk_that_fills_up_under_the_copy_stops_before_the_first_step(old: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-c", _COPY_WITHOUT_ROOM, str(old)], capture_output=True, text=True, check=True
    ).stdout

    assert "cannot be copied before its schema changes" in said
    assert version(old) == 1
    assert [path.name for path in old.parent.iterdir()] == ["ledger.sqlite"]


# The step itself kills the process when it has written half of what it does.
_KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from gridtie.ledger.migrate import migrate
from gridtie.ledger.schema import MIGRATIONS
path = Path(sys.argv[1])
connection = sqlite3.connect(path, isolation_level=None)
connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
step = "CREATE TABLE later (id TEXT) STRICT; INSERT INTO later SELECT id FROM requests; SELECT die();"
migrate(connection, path, (*MIGRATIONS, step))
"""


def test_a_process_that_is_killed_inside_a_step_leaves_a_ledger_that_the_next_one_finishes(old: Path) -> None:
    died = subprocess.run([sys.executable, "-c", _KILLED, str(old)], capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL
    assert version(old) == 1

    connection = connect(old)
    run(connection, old, LATER)

    assert version(old) == 3
    assert ids(old) == ["a", "b", "c"]
    connection.close()


def test_what_a_killed_copy_left_is_removed(old: Path) -> None:
    left = old.with_name(".ledger-schema1-20260101T000000Z.sqlite.part")
    left.write_bytes(b"half")
    connection = connect(old)

    run(connection, old, LATER)

    assert not left.exists()
    connection.close()


def test_a_router_migrates_and_then_replays_the_journal_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(tmp_path)
    ledger.record(local("before"))
    ledger.close()
    database = ledger.database
    left_behind = ledger.directory / "journal/000000000099.log"
    left_behind.write_bytes(frame(local("unread")))
    monkeypatch.setattr(store, "MIGRATIONS", LATER)

    later = open_ledger(tmp_path)

    assert later.replayed == 1
    later.close()
    assert ids(database) == ["before", "unread"]
    assert version(database) == 3
    assert [version(copy) for copy in copies(database)] == [1]


def test_the_store_says_why_it_cannot_be_opened_and_lets_go_of_the_file(old: Path) -> None:
    connection = connect(old)
    connection.execute("PRAGMA user_version = 9")
    connection.close()

    with pytest.raises(StoreError, match="schema 9 found"):
        SqliteStore(old)

    other = connect(old)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.close()
