"""A database that cannot be used is told at the start, with what to do; one that goes away later is waited for."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from gridtie.ledger.postgres import database as module
from gridtie.ledger.postgres.address import Address, read
from gridtie.ledger.postgres.database import Database
from gridtie.ledger.postgres.schema import VERSION
from gridtie.ledger.store import StoreError
from standins.postgresql import Server, postgresql


def open_and_close(address: Address, name: str = "one") -> str:
    database = Database(address, name)
    database.close()
    return database.id


def at(tmp_path: Path, url: str) -> Address:
    (tmp_path / "other").write_text(url)
    return read(tmp_path / "other", {})


def test_an_empty_database_is_prepared_once(postgresql_server: Server, address: Address, url: str) -> None:
    assert open_and_close(address) == open_and_close(address, "two")
    assert postgresql_server.run("SELECT version FROM gridtie.station", url) == [(VERSION,)]


def test_routers_that_start_together_prepare_it_once(postgresql_server: Server, address: Address, url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(lambda number: open_and_close(address, str(number)), range(6)))
    assert postgresql_server.run("SELECT id::text FROM gridtie.station", url) == [(ids.pop(),)]
    assert not ids


def test_a_newer_schema_is_not_touched(postgresql_server: Server, address: Address, url: str) -> None:
    open_and_close(address)
    postgresql_server.run(f"UPDATE gridtie.station SET version = {VERSION + 1}", url)
    with pytest.raises(StoreError, match=f"schema {VERSION + 1} found, {VERSION} is the newest this gridtie knows"):
        Database(address, "one")


def test_a_router_that_runs_goes_on_when_a_newer_one_has_added_to_the_schema(
    postgresql_server: Server, address: Address, url: str
) -> None:
    database = Database(address, "one")
    postgresql_server.run(f"UPDATE gridtie.station SET version = {VERSION + 1}", url)
    database._lost("cut")
    database._retry_at = 0.0
    with database.transaction() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    database.close()


def test_a_database_with_a_schema_of_something_else_is_left_alone(
    postgresql_server: Server, address: Address, url: str
) -> None:
    postgresql_server.run("CREATE SCHEMA gridtie; CREATE TABLE gridtie.solar (watts int)", url)
    with pytest.raises(StoreError, match="not a ledger's; give the ledger a database of its own"):
        Database(address, "one")


def test_a_wrong_password_is_told_without_it(postgresql_server: Server, tmp_path: Path) -> None:
    wrong = at(tmp_path, postgresql_server.url(password="hunter2"))
    with pytest.raises(StoreError, match=r"password authentication failed.*GRIDTIE_DATABASE_FILE") as refused:
        Database(wrong, "one")
    assert "hunter2" not in str(refused.value)


def test_nobody_there_is_told(tmp_path: Path, postgresql_server: Server) -> None:
    nowhere = at(tmp_path, postgresql_server.url().replace(f":{postgresql_server.port}/", ":9/"))
    with pytest.raises(StoreError, match=r"refused.*see that the database runs and can be reached"):
        Database(nowhere, "one")


def test_a_database_that_is_not_there_is_told(tmp_path: Path, postgresql_server: Server) -> None:
    with pytest.raises(StoreError, match="does not exist; make it first: CREATE DATABASE"):
        Database(at(tmp_path, postgresql_server.url("nothing")), "one")


def test_an_encoding_that_cannot_hold_every_row_is_refused(tmp_path: Path, postgresql_server: Server) -> None:
    with pytest.raises(StoreError, match=r"encoding LATIN1 found; wanted: .*UTF8"):
        Database(at(tmp_path, postgresql_server.make("latin", "LATIN1")), "one")


def test_a_user_who_may_not_make_the_tables_is_told_which_right_is_lacking(
    tmp_path: Path, postgresql_server: Server, url: str
) -> None:
    postgresql_server.run("CREATE ROLE guest LOGIN PASSWORD 'welcome'")
    guest = re.sub("//[^@]*@", "//guest:welcome@", url)
    with pytest.raises(StoreError, match=r"permission denied.*GRANT CREATE ON DATABASE"):
        Database(at(tmp_path, guest), "one")


def test_the_certificate_is_checked_by_the_authority_that_the_url_names(
    tmp_path: Path, postgresql_server: Server, authority: Path
) -> None:
    name = postgresql_server.database().rpartition("/")[2]

    def tls(ca: Path) -> Address:
        rest = f"?sslmode=verify-full&sslrootcert={ca}"
        return at(tmp_path, postgresql_server.url(name, host="localhost", rest=rest))

    database = Database(tls(postgresql_server.ca), "one")
    with database.transaction() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert cursor.fetchone() == (True,)
    database.close()
    with pytest.raises(StoreError, match=r"certificate verify failed.*sslrootcert"):
        Database(tls(authority / "ca.pem"), "one")


def test_two_routers_of_one_name_are_refused(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_NAME_SECONDS", 0.3)
    first = Database(address, "one")
    with pytest.raises(StoreError, match=r'a router called "one" is there already.*a state directory of its own'):
        Database(address, "one")
    first.close()
    open_and_close(address)


def test_a_connection_that_was_cut_is_made_again(
    postgresql_server: Server, address: Address, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(address, "one")
    postgresql_server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gridtie one'", url
    )
    with pytest.raises(StoreError), database.transaction() as cursor:
        cursor.execute("SELECT 1")
    deadline = time.monotonic() + 10
    while True:
        try:
            with database.transaction() as cursor:
                cursor.execute("SELECT 1")
            break
        except StoreError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    database.close()
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 2, told
    assert "cannot be used" in told[0]
    assert told[1].endswith("answers again")


def test_one_that_is_gone_is_not_tried_at_every_call(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(address, "one")
    tries = []

    def refuse(**_: object) -> None:
        tries.append(1)
        raise psycopg.OperationalError("connection refused")

    database._lost("gone")
    database._retry_at = 0.0
    monkeypatch.setattr(module.psycopg, "connect", refuse)
    for _ in range(100):
        with pytest.raises(StoreError), database.transaction():
            pass
    database.close()
    assert len(tries) == 1


def test_another_database_in_its_place_is_not_written_to(postgresql_server: Server, address: Address, url: str) -> None:
    database = Database(address, "one")
    postgresql_server.run("UPDATE gridtie.station SET id = gen_random_uuid()", url)
    database._lost("gone")
    database._retry_at = 0.0
    with pytest.raises(StoreError, match="another database answers"), database.transaction():
        pass
    database.close()


def test_an_empty_database_in_its_place_stays_empty(postgresql_server: Server, address: Address, url: str) -> None:
    database = Database(address, "one")
    postgresql_server.database()
    for _ in range(2):
        database._retry_at = 0.0
        with pytest.raises(StoreError), database.transaction() as cursor:
            cursor.execute("SELECT 1")
    database.close()
    assert postgresql_server.run("SELECT 1 FROM pg_namespace WHERE nspname = 'gridtie'", url) == []


def test_a_clock_that_is_off_is_said_once_and_measured(
    address: Address, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(address, "one")
    real = time.time
    for shift in (0.0, -90.0, -90.0, 0.0):
        monkeypatch.setattr(module, "time", lambda shift=shift: real() + shift)
        with database.transaction() as cursor:
            database.compare_clocks(cursor)
        assert database.clock_s == pytest.approx(-shift, abs=1.0)
    database.close()
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, told
    assert "+90.0 s from this machine's" in told[0] or "+89." in told[0]
    assert "agree again" in told[1]


def test_a_server_that_is_started_again_is_found_again(tmp_path: Path) -> None:
    with postgresql() as server:
        database = Database(at(tmp_path, server.database()), "one")
        server.stop()
        with pytest.raises(StoreError), database.transaction() as cursor:
            cursor.execute("SELECT 1")
        server.start()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with database.transaction() as cursor:
                    cursor.execute("SELECT 1")
                    assert cursor.fetchone() == (1,)
                break
            except StoreError:
                time.sleep(0.05)
        else:
            pytest.fail("not found again")
        database.close()


def test_a_server_that_takes_a_question_and_says_nothing_is_given_up(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.5)
    database = Database(address, "one")
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone() or (0,)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(StoreError), database.transaction() as cursor:
            cursor.execute("SELECT 1")
        assert time.monotonic() - began < 5.0
    finally:
        os.kill(pid, signal.SIGCONT)
    database.close()


def test_its_own_connection_of_before_does_not_keep_a_router_out(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_NAME_SECONDS", 0.3)
    database = Database(address, "one")
    left = database._connection
    # As a network does that is parted and comes back: to the server the connection is still there.
    database._connection = None
    with database.transaction() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    with pytest.raises(StoreError, match="is there already"):
        Database(address, "one")
    database.close()
    assert left is not None
    left.close()
