"""An old ledger becomes a new one whole, with a copy of what it was, or stays as it is."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import msgspec
import pytest

from gridtie.ledger import StoreError, migrate, store
from gridtie.ledger.journal import encode, frame
from gridtie.ledger.migrate import KEPT, MigrationError, copies
from gridtie.ledger.migrate import migrate as run
from gridtie.ledger.schema import MIGRATIONS
from gridtie.ledger.store import SqliteStore
from standins.ledger import CLOUD, cloud, local, open_ledger, refused

# What the first released gridtie wrote, rows and all.
SCHEMA_1 = (Path(__file__).parent / "schema-1.sql").read_text(encoding="utf-8")
# A later schema: the present one and two steps more.
LATER = (
    *MIGRATIONS,
    "ALTER TABLE requests ADD COLUMN later TEXT NOT NULL DEFAULT '';",
    "CREATE TABLE notes (id TEXT PRIMARY KEY) STRICT; INSERT INTO notes SELECT id FROM requests;",
)


_NOTHING: dict[str, object] = {
    "target": None, "locality": None, "served": None, "input_tokens": 0, "output_tokens": 0,
    "cost_usd": None, "baseline": "", "baseline_usd": None,
}  # fmt: skip


def _tries(locality: str, outcome: str) -> str:
    return f'[{{"target":"t","locality":"{locality}","outcome":"{outcome}"}}]'


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


# Rows of every kind, as 1.0.0 wrote them: id, then what differs from a row that the station answered.
_KINDS: dict[str, dict[str, object]] = {
    "local": {},
    "cloud": {
        "target": CLOUD, "locality": "cloud", "cost_usd": 0.004, "cloud_tries": 1, "tries": _tries("cloud", "ok"),
    },
    "unpriced": {"target": CLOUD, "locality": "cloud", "cost_usd": None, "cloud_tries": 1},
    "broken": {"complete": 0, "tries": _tries("local", "broken")},
    "left-midway": {"complete": 0, "tries": _tries("local", "cancelled")},
    "left-early": {"status": 499, "complete": 0, "tries": _tries("local", "cancelled")},
    "refused": {"status": 403, **_NOTHING, "tries": "[]"},
    "failed": {"status": 502, **_NOTHING, "tries": _tries("local", "unreachable")},
    # A prompt of 4 MB that was answered 400: 1.0.0 "saved" what it would have cost.
    "declined": {"status": 400, "input_tokens": 1_000_000, "output_tokens": 0, "baseline_usd": 0.75},
    "declined-by-cloud": {
        "status": 400, "target": CLOUD, "locality": "cloud", "cost_usd": 1.0, "cloud_tries": 1,
        "tries": _tries("cloud", "invalid"),
    },
    "doctor": {"asked": "probe", "agent": "doctor", "baseline_usd": 0.0001},
    "smoke": {"asked": "probe", "agent": None, "baseline_usd": 0.0001},
}  # fmt: skip


@pytest.fixture
def every_kind(old: Path) -> Path:
    """A ledger of 1.0.0 with a row of each kind and no other."""
    with sqlite3.connect(old) as connection:
        connection.row_factory = sqlite3.Row
        pattern = dict(connection.execute("SELECT * FROM requests WHERE id = 'a'").fetchone())
        connection.execute("DELETE FROM requests")
        for id, changes in _KINDS.items():
            row = {**pattern, "id": id, **changes}
            places = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO requests ({', '.join(row)}) VALUES ({places})", list(row.values()))
    connection.close()
    return old


def metered(path: Path, columns: str, id: str) -> tuple[object, ...]:
    connection = connect(path)
    (found,) = connection.execute(f"SELECT {columns} FROM metered WHERE id = ?", (id,)).fetchall()
    connection.close()
    return tuple(found)


MONEY = "cost_usd, baseline_usd, input_tokens, output_tokens, unpriced"


@pytest.mark.parametrize("id", ["local", "cloud", "unpriced", "refused", "failed"])
def test_what_was_right_before_is_the_same_after(every_kind: Path, id: str) -> None:
    same = f"{MONEY}, answered, refused, failed, day, model, agent, cloud_lost, cached_tokens, estimated"
    before = metered(every_kind, same, id)
    connection = connect(every_kind)
    run(connection, every_kind, MIGRATIONS)
    connection.close()

    assert metered(every_kind, same, id) == before


@pytest.mark.parametrize(
    ("id", "before", "after"),
    [
        # What was not served cost nothing and saved nothing.
        ("declined", (0.0, 0.75), (0.0, 0.0)),
        ("declined-by-cloud", (1.0, 0.0012), (0.0, 0.0)),
        # Nobody got what was asked for.
        ("broken", (0.0, 0.0012), (0.0, 0.0)),
        ("left-midway", (0.0, 0.0012), (0.0, 0.0)),
        ("left-early", (0.0, 0.0012), (0.0, 0.0)),
        # The station's own checks.
        ("doctor", (0.0, 0.0001), (0.0, 0.0)),
        ("smoke", (0.0, 0.0001), (0.0, 0.0)),
    ],
)
def test_what_was_never_a_saving_is_none_any_more(
    every_kind: Path, id: str, before: tuple[float, float], after: tuple[float, float]
) -> None:
    assert metered(every_kind, "cost_usd, baseline_usd", id) == before
    connection = connect(every_kind)
    run(connection, every_kind, MIGRATIONS)
    connection.close()

    assert metered(every_kind, "cost_usd, baseline_usd, unpriced", id) == (*after, 0)


@pytest.mark.parametrize(
    ("id", "column"),
    [
        ("local", "answered"),
        ("unpriced", "answered"),
        ("broken", "interrupted"),
        ("left-midway", "cancelled"),
        ("left-early", "cancelled"),
        ("refused", "refused"),
        ("failed", "failed"),
        ("declined-by-cloud", "failed"),
    ],
)
def test_each_row_became_one_thing(every_kind: Path, id: str, column: str) -> None:
    connection = connect(every_kind)
    run(connection, every_kind, MIGRATIONS)
    connection.close()

    names = ("answered", "refused", "failed", "interrupted", "cancelled")
    assert metered(every_kind, ", ".join(names), id) == tuple(int(name == column) for name in names)


@pytest.mark.parametrize("id", [str(id) for id in _KINDS])
def test_a_query_by_the_first_releases_name_for_what_was_cut_short_finds_the_same_rows(
    every_kind: Path, id: str
) -> None:
    before = metered(every_kind, "broken_off", id)
    connection = connect(every_kind)
    run(connection, every_kind, MIGRATIONS)
    connection.close()

    assert metered(every_kind, "broken_off", id) == before


def test_the_rows_of_the_first_release_have_what_a_report_reads_beside_the_money(every_kind: Path) -> None:
    connection = connect(every_kind)
    run(connection, every_kind, MIGRATIONS)
    connection.close()

    beside = "tags, locality, first_token, duration, cache_write_tokens"
    assert metered(every_kind, beside, "local") == ('["x"]', "local", 0.1, 0.5, 0)
    assert metered(every_kind, "tries", "failed") == (_tries("local", "unreachable"),)


def test_the_first_releases_doctor_is_told_apart_by_its_name_and_its_alias(every_kind: Path) -> None:
    connection = connect(every_kind)
    run(connection, every_kind, MIGRATIONS)
    connection.close()

    assert metered(every_kind, "purpose", "doctor") == ("doctor",)
    # Without a name it may have been a person's.
    assert metered(every_kind, "purpose", "smoke") == ("",)


def test_the_copy_of_an_old_ledger_still_says_what_it_said(every_kind: Path) -> None:
    before = metered(every_kind, MONEY, "declined")
    connection = connect(every_kind)
    copy = run(connection, every_kind, MIGRATIONS)
    connection.close()

    assert copy is not None
    assert metered(copy, MONEY, "declined") == before


class OldEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A row as 1.0.0 knew it, cut to a few of its fields: what it does not know it passes over."""

    id: str
    time: float
    status: int
    target: str | None = None
    cost_usd: float | None = None


def test_a_journal_of_the_first_release_is_replayed(tmp_path: Path) -> None:
    """Bytes as 1.0.0 wrote them: no field of schema 2."""
    body = (
        b'{"id":"old","time":1795356000.0,"key":"station","environment":"dev","surface":"openai","asked":"coder",'
        b'"status":200,"target":"station/m","locality":"local","served":"m","input_tokens":10,"output_tokens":2,'
        b'"cost_usd":0.0,"baseline":"openai/gpt-5.4-mini","baseline_usd":0.001,"price_date":"2026-11-22"}'
    )
    journal = tmp_path / "ledger" / "journal"
    journal.mkdir(parents=True)
    line = b"E %08x %d %b\n" % (crc32(body, crc32(b"E")), len(body), body)
    (journal / "000000000001.log").write_bytes(line)

    ledger = open_ledger(tmp_path)
    found = ledger.find("old")
    ledger.close()

    assert (ledger.replayed, ledger.torn) == (1, 0)
    assert found is not None
    assert (found.input_tokens, found.purpose, found.prices, found.choices) == (10, "", "", 1)


def test_a_row_of_this_version_can_be_read_as_one_of_the_first_release() -> None:
    body = encode(local("new", purpose="demo", prices='{"baseline":{"input":1}}', choices=3))
    assert msgspec.json.decode(body, type=OldEntry).id == "new"


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

    with pytest.raises(MigrationError, match=rf"schema 9 found, {len(LATER)} is the newest .* start the newer gridtie"):
        run(connection, old, LATER)

    assert old.read_bytes() == before
    assert copies(old) == []
    connection.close()


def test_a_step_that_fails_leaves_the_schema_before_it_and_the_next_start_goes_on(old: Path) -> None:
    broken = (*LATER[:-1], "CREATE TABLE half (id TEXT) STRICT; INSERT INTO nowhere VALUES (1);")
    connection = connect(old)

    with pytest.raises(
        MigrationError, match=rf"from schema {len(LATER) - 1} to {len(LATER)} failed \(no such table: nowhere\)"
    ):
        run(connection, old, broken)
    connection.close()

    assert version(old) == len(LATER) - 1
    connection = connect(old)
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
    run(connection, old, LATER)
    assert version(old) == len(LATER)
    connection.close()


def test_a_full_disk_in_the_middle_of_a_step_leaves_the_ledger_as_it_was(old: Path) -> None:
    fill = "CREATE TABLE big (x BLOB) STRICT; INSERT INTO big VALUES (zeroblob(1000000));"
    connection = connect(old)
    run(connection, old, MIGRATIONS)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 10}")  # SQLite's own way to run out of space.

    with pytest.raises(MigrationError, match=r"database or disk is full.*free space"):
        run(connection, old, (*MIGRATIONS, fill))

    assert version(old) == len(MIGRATIONS)
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
    assert version(old) == len(MIGRATIONS)

    connection = connect(old)
    run(connection, old, LATER)

    assert version(old) == len(LATER)
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
    assert version(database) == len(LATER)
    assert [version(copy) for copy in copies(database)] == [len(MIGRATIONS)]


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
