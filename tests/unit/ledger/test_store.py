"""Records are kept once, whole, and readable with plain SQLite: by the store of one router, and by that of several."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.ledger.entry import Entry, Try
from gridtie.ledger.journal import Begin
from gridtie.ledger.postgres.address import read
from gridtie.ledger.postgres.store import PostgresStore
from gridtie.ledger.schema import VERSION
from gridtie.ledger.store import SqliteStore, StoreError
from standins.ledger import cloud, local, refused
from standins.postgresql import Server

Stores = SqliteStore | PostgresStore


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    path = tmp_path / "ledger.sqlite"
    if request.param == "sqlite":
        opened: Stores = SqliteStore(path)
    else:
        server: Server = request.getfixturevalue("postgresql_server")
        (tmp_path / "database").write_text(server.database())
        opened = PostgresStore(read(tmp_path / "database", {}), path)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "ledger.sqlite")
    yield opened
    opened.close()


def attempt(id: str) -> Begin:
    return Begin(id=id, target="openai/gpt-5.4", time=1.0, key="station", environment="dev", reserve_usd=0.5)


@pytest.mark.parametrize(
    "entry",
    [
        local("a", tags=("x", "private"), private=True, stream=True, estimated=True, complete=False),
        cloud("b", cost_usd=None, baseline_usd=None, first_token=None, cached_tokens=3, cache_write_tokens=4),
        refused("c", code="no_local_model", waited=1.5),
        local("d", engine="ollama", engine_version="0.12.3", digest="sha256:ab", station="here", prices="{}"),
        cloud("e", purpose="demo", project="p", reasoning_tokens=5, reserved_usd=0.5, choices=2, output_limit=8192),
    ],
)
def test_an_entry_comes_back_equal(store: Stores, entry: Entry) -> None:
    store.save([entry])
    assert store.find(entry.id) == entry


def test_what_is_not_there_is_none(store: Stores) -> None:
    assert store.find("nothing") is None


def test_a_record_saved_twice_is_there_once_and_as_it_was_first(store: Stores) -> None:
    store.save([local("a"), local("a", status=500)])
    store.save([local("a", status=500)])
    assert store.rows("SELECT id, status FROM requests") == [{"id": "a", "status": 200}]


@pytest.mark.parametrize("count", [1, 49, 50, 51, 120])
def test_a_batch_of_any_size_is_kept_row_for_row(store: Stores, count: int) -> None:
    entries = [local(f"{number:03}", status=200 + number) for number in range(count)]
    store.save([*entries, entries[0]])
    kept = store.rows("SELECT id, status FROM requests ORDER BY id")
    assert [(row["id"], row["status"]) for row in kept] == [(entry.id, entry.status) for entry in entries]


def test_what_answers_thousands_of_requests_is_kept_once(store: Stores) -> None:
    store.save([local(f"{n}", engine="ollama", prices=f'{{"n":{n % 3}}}') for n in range(120)])
    store.save([local("later", engine="ollama", prices='{"n":0}')])
    SqliteStore(store.path).close()
    again = SqliteStore(store.path)
    again.save([local("last", engine="ollama", prices='{"n":1}')])
    again.close()
    assert len(store.rows("SELECT id FROM backends WHERE id > 0")) == 3
    assert store.rows("SELECT count(*) AS rows FROM metered WHERE engine = 'ollama'") == [{"rows": 122}]


def test_what_answered_is_known_again_after_a_batch_that_failed(store: Stores) -> None:
    with pytest.raises(AttributeError):
        store.save([local("a", engine="new"), object()])  # type: ignore[list-item]
    store.save([local("b", engine="other")])
    store.save([local("c", engine="new")])
    assert [(id, store.find(id)) for id in "bc"] == [("b", local("b", engine="other")), ("c", local("c", engine="new"))]


def test_rows_with_and_without_what_is_rare_are_kept_in_one_batch(store: Stores) -> None:
    entries = [local(f"{n:03}", waited=0.5 if n % 2 else 0.0, choices=1 + n % 3) for n in range(130)]
    store.save(entries)
    assert [store.find(entry.id) for entry in entries] == entries


def test_a_batch_is_kept_whole_or_not_at_all(store: Stores) -> None:
    with pytest.raises(AttributeError):
        store.save([local("a"), object()])  # type: ignore[list-item]
    assert store.rows("SELECT id FROM requests") == []
    store.save([local("b")])
    assert store.rows("SELECT id FROM requests") == [{"id": "b"}]


def test_an_attempt_ends_with_its_request(store: Stores) -> None:
    store.save([attempt("a"), attempt("b"), cloud("a")])
    assert store.rows("SELECT id FROM attempts") == [{"id": "b"}]


def test_an_attempt_replayed_after_its_request_does_not_come_back(store: Stores) -> None:
    store.save([cloud("a")])
    store.save([attempt("a")])
    assert store.rows("SELECT id FROM attempts") == []


def test_attempts_of_an_earlier_process_are_unfinished_and_those_of_this_one_are_not(store: Stores) -> None:
    store.save([attempt("old")])
    assert store.abandon() == 1
    store.save([attempt("new")])
    assert store.rows("SELECT id, unfinished FROM attempts ORDER BY id") == [
        {"id": "new", "unfinished": 0},
        {"id": "old", "unfinished": 1},
    ]


def test_tries_at_a_cloud_are_counted_but_not_those_that_were_skipped(store: Stores) -> None:
    tries = tuple(
        Try(target="openai/m", locality=where, outcome=outcome)
        for where, outcome in (("cloud", "busy"), ("cloud", "skipped"), ("local", "ok"))
    )
    store.save([local("a", tries=tries)])
    assert store.rows("SELECT cloud_tries FROM requests") == [{"cloud_tries": 1}]


def test_the_schema_has_a_version(store: Stores) -> None:
    assert store.rows("PRAGMA user_version") == [{"user_version": VERSION}]


def test_opening_again_changes_nothing(store: Stores) -> None:
    store.save([local("a")])
    SqliteStore(store.path).close()
    assert store.find("a") == local("a")


def test_a_ledger_of_a_newer_gridtie_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as future:
        future.execute(f"PRAGMA user_version = {VERSION + 1}")
    future.close()
    with pytest.raises(StoreError, match=f"schema {VERSION + 1} found, {VERSION} is the newest"):
        SqliteStore(path)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("this is not a database, and long enough for SQLite to look at its header " * 10)
    with pytest.raises(StoreError, match=r"ledger\.sqlite: file is not a database"):
        SqliteStore(path)


def test_readers_cannot_write(store: Stores) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store.rows("DELETE FROM requests")


def test_a_store_that_cannot_write_says_where_and_why(store: Stores) -> None:
    with sqlite3.connect(store.path) as other:
        other.execute("DROP TABLE attempts")
    other.close()
    with pytest.raises(StoreError, match=r"ledger\.sqlite: no such table: main\.attempts|no such table: attempts"):
        store.save([local("a")])
    assert store.find("a") is None


def test_the_latest_are_the_newest_first_of_one_key_or_of_all(store: Stores) -> None:
    store.save([local("a", time=2.0), local("b", time=3.0, key="other"), local("c", time=1.0), local("d", time=2.0)])

    assert [row.id for row in store.latest(3, None)] == ["b", "d", "a"]
    assert [row.id for row in store.latest(9, "other")] == ["b"]
    assert store.latest(9, "nobody") == []
