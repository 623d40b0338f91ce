"""Several routers over one database: each has all rows, each answers for its own attempts, and none is lost."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import msgspec
import pytest

from gridtie.ledger import Ledger
from gridtie.ledger.journal import Begin
from gridtie.ledger.postgres.address import Address
from gridtie.ledger.postgres.store import PostgresStore
from gridtie.ledger.retention import Removal
from gridtie.ledger.store import SqliteStore, StoreError
from standins.ledger import PRICES, cloud, local
from standins.postgresql import Server
from unit.ledger.postgres.conftest import Open


def attempt(id: str, **changes: object) -> Begin:
    begin = Begin(id=id, target="openai/gpt-5.4", time=time.time(), key="ann", environment="dev", reserve_usd=0.5)
    return msgspec.structs.replace(begin, **changes)


def ids(store: SqliteStore | PostgresStore, table: str = "requests") -> list[str]:
    return [row["id"] for row in store.rows(f"SELECT id FROM {table} ORDER BY id")]


def look(store: PostgresStore) -> None:
    """As after a second."""
    store._look_at = 0.0
    store.refresh()


def test_what_one_writes_is_in_the_copies_of_the_others(replica: Open) -> None:
    one, two = replica("1"), replica("2")
    one.save([local("a"), cloud("b")])
    two.save([local("c")])
    for store in (one, two):
        look(store)
    assert ids(one) == ids(two) == ["a", "b", "c"]
    assert two.find("b") == cloud("b")


def test_a_replica_that_comes_later_gets_all_that_was(replica: Open) -> None:
    one = replica("1")
    one.save([local(f"{n:04}") for n in range(1203)])
    assert len(ids(replica("2"))) == 1203


def test_a_copy_that_has_far_to_go_follows_in_steps_between_which_rows_are_saved(
    replica: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridtie.ledger.postgres.store._AT_ONCE", 10)
    monkeypatch.setattr("gridtie.ledger.postgres.store._MOST_FETCHES", 3)
    one = replica("1")
    one.save([local(f"{n:04}") for n in range(95)])
    two = replica("2")
    steps = [len(ids(two))]
    while steps[-1] < 95:
        two.refresh()
        steps.append(len(ids(two)))
    assert steps == [30, 60, 90, 95]


def test_rows_that_two_replicas_have_are_there_once(replica: Open, postgresql_server: Server, url: str) -> None:
    one, two = replica("1"), replica("2")
    one.save([local("a")])
    two.save([local("a", status=500)])
    assert postgresql_server.run("SELECT count(*) FROM gridtie.requests", url) == [(1,)]


def test_only_its_own_attempts_are_given_up_at_a_start(replica: Open) -> None:
    one, two = replica("1"), replica("2")
    one.save([attempt("a")])
    two.save([attempt("b")])
    one.close()
    assert replica("1").abandon() == 1
    look(two)
    assert two.rows("SELECT id, unfinished FROM attempts ORDER BY id") == [
        {"id": "a", "unfinished": 1},
        {"id": "b", "unfinished": 0},
    ]


def test_an_attempt_that_ends_leaves_every_copy(replica: Open) -> None:
    one, two = replica("1"), replica("2")
    one.save([attempt("a")])
    look(two)
    assert ids(two, "attempts") == ["a"]
    one.save([cloud("a")])
    look(two)
    assert ids(two, "attempts") == []


def test_a_replica_counts_what_itself_has_spent(replica: Open) -> None:
    one, two = replica("1"), replica("2")
    now = time.time()
    one.save([cloud("a", time=now), cloud("b", time=now), attempt("c", reserve_usd=0.25)])
    two.save([cloud("d", time=now, cost_usd=7.0)])
    assert sum(usd for *_, usd in one.spending(now - 60)) == pytest.approx(0.004 * 2 + 0.25)
    assert sum(usd for *_, usd in two.spending(now - 60)) == pytest.approx(7.0)


def test_a_row_with_characters_that_a_database_dislikes_is_kept(replica: Open) -> None:
    one = replica("1")
    row = local("a", asked="nul\0, half of a pair, \U0001f600, \u2028", key="k\0")
    one.save([row])
    two = replica("2")
    assert two.find("a") == row


def test_rows_of_a_ledger_from_before_go_along(replica: Open, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    before = SqliteStore(tmp_path / "1" / "ledger.sqlite")
    before.save([*(local(f"{n:04}") for n in range(700)), attempt("open")])
    before.close()
    one, two = replica("1"), replica("2")
    assert ids(one) == ids(two)
    assert len(ids(two)) == 700
    assert ids(two, "attempts") == ["open"]


def test_the_way_back_is_the_copy(replica: Open) -> None:
    one, two = replica("1"), replica("2")
    one.save([local("a")])
    two.save([cloud("b")])
    look(one)
    one.close()
    alone = SqliteStore(one.path)
    alone.save([local("c")])
    assert ids(alone) == ["a", "b", "c"]
    alone.close()


def test_two_stations_are_not_thrown_together(replica: Open, tmp_path: Path) -> None:
    replica("1").save([local("a")])
    (tmp_path / "2").mkdir()
    other = SqliteStore(tmp_path / "2" / "ledger.sqlite")
    other.save([local("z")])
    other.close()
    with pytest.raises(StoreError, match="holds the requests of another station"):
        replica("2")
    assert ids(replica("3")) == ["a"]


def test_what_is_erased_leaves_every_copy_and_goes_on_counting(
    replica: Open, postgresql_server: Server, url: str
) -> None:
    one, two = replica("1"), replica("2")
    now = time.time()
    one.save([cloud("a", key="ann", time=now), cloud("b", key="bob", time=now)])
    look(two)
    removed = two.remove(Removal(key="ann"), now)
    look(one)
    assert removed.rows == 1
    assert ids(one) == ids(two) == ["b"]
    assert postgresql_server.run("SELECT id FROM gridtie.requests", url) == [("b",)]
    assert sum(usd for *_, usd in one.spending(now - 7200)) == pytest.approx(0.008)
    one.save([local("c", key="ann")])
    look(two)
    assert ids(two) == ["b", "c"]
    assert ids(replica("3")) == ["b", "c"]


def test_a_row_that_an_older_gridtie_cannot_read_does_not_stop_the_rest(
    replica: Open, postgresql_server: Server, url: str
) -> None:
    one, two = replica("1"), replica("2")
    one.save([local("a"), local("b")])
    postgresql_server.run("UPDATE gridtie.requests SET entry = '{\"time\": \"noon\"}' WHERE id = 'a'", url)
    look(two)
    one.save([local("c")])
    look(two)
    assert ids(two) == ["b", "c"]


def test_rows_that_a_backup_of_the_database_lacks_are_offered_again_where_one_asks_for_it(
    replica: Open, postgresql_server: Server, url: str
) -> None:
    one = replica("1")
    one.save([local(f"{n:04}", time=float(n)) for n in range(1500)])
    one.close()
    postgresql_server.run("DELETE FROM gridtie.requests WHERE time >= 400", url)
    with sqlite3.connect(one.path) as copy:
        copy.execute("DELETE FROM followed")
    copy.close()
    replica("1")
    assert postgresql_server.run("SELECT count(*) FROM gridtie.requests", url) == [(1500,)]


def test_a_copy_that_is_lost_is_made_again(replica: Open) -> None:
    one = replica("1")
    one.save([local("a")])
    one.close()
    one.path.unlink()
    assert ids(replica("1")) == ["a"]


def test_a_copy_whose_disk_fails_is_caught_up_with(replica: Open) -> None:
    one = replica("1")
    with sqlite3.connect(one.path) as other:
        other.execute("ALTER TABLE requests RENAME TO away")
    other.close()
    with pytest.raises(StoreError, match=r"ledger\.sqlite"):
        one.save([local("a")])
    with sqlite3.connect(one.path) as other:
        other.execute("ALTER TABLE away RENAME TO requests")
    other.close()
    one.save([local("a")])
    assert ids(one) == ["a"]


def test_a_database_that_goes_away_loses_no_row_and_costs_no_time(
    address: Address, tmp_path: Path, postgresql_server: Server, url: str
) -> None:
    ledger = Ledger(tmp_path / "state", PRICES, open_store=lambda path: PostgresStore(address, path))
    postgresql_server.let_in("ledger", False)
    slowest = 0.0
    for n in range(300):
        began = time.monotonic()
        ledger.record(local(f"{n:04}"))
        slowest = max(slowest, time.monotonic() - began)
    assert (ledger.fault, ledger.find("0299")) == ("", local("0299"))
    postgresql_server.let_in("ledger", True)
    ledger.flush(30.0)
    ledger.close()
    assert postgresql_server.run("SELECT count(*) FROM gridtie.requests", url) == [(300,)]
    assert slowest < 1.0


def test_rows_that_wait_at_the_death_of_a_process_are_there_after_its_next_start(
    address: Address, tmp_path: Path, postgresql_server: Server, url: str
) -> None:
    ledger = Ledger(tmp_path / "state", PRICES, open_store=lambda path: PostgresStore(address, path))
    postgresql_server.let_in("ledger", False)
    ledger.record(local("a"))
    ledger.close()
    postgresql_server.let_in("ledger", True)
    assert postgresql_server.run("SELECT count(*) FROM gridtie.requests", url) == [(0,)]
    again = Ledger(tmp_path / "state", PRICES, open_store=lambda path: PostgresStore(address, path))
    assert again.replayed == 1
    again.close()
    assert postgresql_server.run("SELECT id FROM gridtie.requests", url) == [("a",)]
