"""Rows leave by age or by key, from everywhere that they are; what they spent stays spent."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gridtie.config.schema import Budget
from gridtie.ledger import Ledger, LedgerError, Removal, UsageError, retention
from gridtie.ledger.journal import frame
from standins.ledger import CLOUD, cloud, local, open_ledger

DAY = 86400.0
MONTH = Budget(name="month", usd=10.0, period="month")
SCHEMA_1 = (Path(__file__).parent / "schema-1.sql").read_text(encoding="utf-8")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    yield opened
    opened.close()


def ids(path: Path, table: str = "requests") -> list[str]:
    reader = sqlite3.connect(path)
    found = [row[0] for row in reader.execute(f"SELECT id FROM {table} ORDER BY id")]
    reader.close()
    return found


def anywhere(ledger: Ledger, word: str) -> list[str]:
    """Files of the ledger that hold a word."""
    found = []
    for path in ledger.directory.rglob("*"):
        # Another thread drains the journal, and tries every now and then whether the disk can be written.
        with suppress(FileNotFoundError):
            if path.is_file() and word.encode() in path.read_bytes():
                found.append(path.name)
    return sorted(found)


def erase(ledger: Ledger, key: str) -> dict[str, object]:
    return ledger.remover(Removal(key=key))()


def prune(ledger: Ledger, older_than: str) -> dict[str, object]:
    return ledger.remover(Removal(older_than=older_than))()


def test_rows_that_are_old_enough_leave_and_the_others_stay(ledger: Ledger) -> None:
    now = time.time()
    for days in (0, 31, 89, 91, 400):
        ledger.record(local(f"{days:03}", time=now - days * DAY))
    done = prune(ledger, "90d")

    assert (done["rows"], done["older_than"]) == (2, "90d")
    assert ids(ledger.database) == ["000", "031", "089"]


def test_the_space_is_given_back(ledger: Ledger) -> None:
    for number in range(4000):
        ledger.record(local(f"{number:05}", time=1.0, error="e" * 200))
    ledger.flush()
    done = prune(ledger, "32d")

    assert (done["rows"], done["space"]) == (4000, "")
    assert ledger.database.stat().st_size == done["bytes_after"] < 200_000
    assert done["bytes_before"] > 1_500_000  # type: ignore[operator]


def test_rows_in_more_steps_than_one_all_leave(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 7)
    now = time.time()
    for number in range(100):
        ledger.record(cloud(f"{number:03}", key=("ann", "bob")[number % 2], time=now, cost_usd=0.01))
    assert erase(ledger, "ann")["rows"] == 50
    assert len(ids(ledger.database)) == 50
    ledger.close()
    again = open_ledger(ledger.directory.parent)
    spent = again.spent(MONTH, now)
    again.close()
    assert spent == pytest.approx(1.0)


def test_nothing_of_an_erased_key_stays_in_any_file(tmp_path: Path) -> None:
    directory = tmp_path / "ledger"
    directory.mkdir()
    old = sqlite3.connect(directory / "ledger.sqlite")
    old.executescript(SCHEMA_1)
    old.execute("UPDATE requests SET key = 'marigold' WHERE id = 'b'")
    old.execute("UPDATE attempts SET key = 'marigold'")
    old.commit()
    old.close()
    (directory / "torn").mkdir()
    (directory / "torn" / "000000000001-0.bin").write_bytes(frame(local("t", key="marigold"))[:80])
    ledger = open_ledger(tmp_path)
    for number in range(50):
        ledger.record(local(f"{number:02}", key="marigold"))
        ledger.record(local(f"o{number:02}"))
    ledger.flush()
    before = anywhere(ledger, "marigold")

    done = erase(ledger, "marigold")
    after = anywhere(ledger, "marigold")
    ledger.record(local("later"))
    ledger.close()

    assert len(before) >= 4  # the ledger or its log, a copy, the journal, what was torn
    assert after == []
    copy = next(directory.glob("ledger-schema1-*.sqlite"))
    assert (done["rows"], done["attempts"], done["torn"], done["copies"]) == (51, 1, 1, {copy.name: 1})
    assert ids(copy) == ["a", "c"]
    assert len(ids(ledger.database)) == 2 + 50 + 1


def test_what_an_erased_key_spent_this_month_stays_in_the_budgets(tmp_path: Path) -> None:
    now = time.time()
    ledger = open_ledger(tmp_path)
    ledger.record(cloud("a", time=now, key="ann", cost_usd=1.0))
    ledger.record(cloud("b", time=now, key="ann", cost_usd=0.5, environment="production"))
    left = {"status": 499, "complete": False, "estimated": True, "first_token": None, "reserved_usd": 0.5}
    ledger.record(cloud("b2", time=now, key="ann", cost_usd=0.125, environment="production", **left))
    ledger.record(cloud("c", time=now, key="bob", cost_usd=0.25))
    ledger.record(cloud("d", time=now, key="ann", cost_usd=8.0, status=400))
    ledger.begin("e", CLOUD, now, key="ann", environment="dev", reserve_usd=0.125)
    ledger.close()
    ledger = open_ledger(tmp_path)  # the attempt has no end now
    erase(ledger, "ann")
    running = ledger.spent(MONTH, now)
    ledger.close()
    ledger = open_ledger(tmp_path)
    found = [
        ledger.spent(Budget(name="b", usd=1, period="month", environment=environment), now)
        for environment in (None, "dev", "production")
    ]
    ledger.close()

    assert ids(ledger.database) == ["c"]
    assert running == pytest.approx(2.375)
    assert found == pytest.approx([2.375, 1.375, 1.0])


def test_an_attempt_in_flight_is_left_to_its_request(ledger: Ledger) -> None:
    ledger.begin("a", CLOUD, time.time(), key="ann", reserve_usd=0.5)
    assert erase(ledger, "ann")["attempts"] == 0
    ledger.flush()
    assert ids(ledger.database, "attempts") == ["a"]


def test_old_remains_of_torn_records_leave_with_old_rows(ledger: Ledger) -> None:
    torn = ledger.directory / "torn"
    torn.mkdir()
    for name in ("1-0.bin", "2-0.bin"):
        (torn / name).write_bytes(b"half")
    long_ago = time.time() - 100 * DAY
    os.utime(torn / "1-0.bin", (long_ago, long_ago))
    assert prune(ledger, "90d")["torn"] == 1
    assert [path.name for path in torn.iterdir()] == ["2-0.bin"]


def test_requests_are_metered_while_rows_leave(ledger: Ledger) -> None:
    for number in range(3000):
        ledger.record(local(f"a{number:04}", key="ann"))
    work = ledger.remover(Removal(key="ann"))
    done: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    for number in range(500):
        ledger.record(local(f"b{number:04}"))
    thread.join()
    ledger.flush()

    assert done[0]["rows"] == 3000
    assert ids(ledger.database) == [f"b{number:04}" for number in range(500)]
    assert ledger.fault == ""


def test_without_room_rows_leave_and_it_is_said_why_their_space_does_not(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1 << 20

    monkeypatch.setattr(retention.shutil, "disk_usage", lambda path: Usage)
    ledger.record(local("a", time=1.0))
    done = prune(ledger, "32d")
    assert done["rows"] == 1
    assert "1 MiB are free in" in str(done["space"])
    assert ids(ledger.database) == []


def test_a_ledger_that_cannot_be_written_says_so(ledger: Ledger) -> None:
    ledger.flush()
    with sqlite3.connect(ledger.database) as other:
        other.execute("DROP TABLE erased_spending")
    other.close()
    with pytest.raises(LedgerError, match=r"erased_spending; what was removed so far is gone"):
        erase(ledger, "ann")


def test_a_question_is_read_from_json() -> None:
    assert Removal.read(b'{"older_than": "90d"}') == Removal(older_than="90d")
    assert Removal.read(b'{"key": "ann"}') == Removal(key="ann")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", 'wanted {"older_than": "90d"} or {"key": "NAME"}'),
        (b"[]", "wanted"),
        (b"{}", "one of the two is wanted"),
        (b'{"key": ""}', "one of the two is wanted"),
        (b'{"older_than": "90d", "key": "ann"}', "one of the two is wanted"),
        (b'{"older_than": "soon"}', "older_than 'soon' found; wanted a time span such as 90d"),
        (b'{"older_than": 90}', "wanted"),
        (b'{"older": "90d"}', "unknown field `older`"),
        # A budget counts a month: it must not forget what was spent in it.
        (b'{"older_than": "31d"}', "at least 32d is wanted"),
        (b'{"older_than": "4w"}', "at least 32d is wanted"),
    ],
)
def test_a_question_that_is_none_is_refused_before_anything_leaves(body: bytes, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Removal.read(body)
    assert said in str(refused.value)
