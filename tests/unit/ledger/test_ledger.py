"""What was recorded is found, reported and survives; what cannot be recorded is said loudly."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.config.schema import Budget
from gridtie.ledger import Ledger, LedgerError
from gridtie.ledger.journal import Record, frame
from gridtie.ledger.ledger import next_pause
from gridtie.ledger.store import SqliteStore
from standins.ledger import CLOUD, cloud, local, open_ledger

DAY = Budget(name="day", usd=10.0, period="day")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path)
    yield opened
    opened.close()


def died(state_dir: Path, elsewhere: Path) -> Path:
    """A copy of a ledger's files as a process that dies now leaves them: what is only in memory is gone."""
    shutil.copytree(state_dir, elsewhere)
    return elsewhere


def until(holds: Callable[[], object], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def stored(ledger: Ledger) -> list[str]:
    return [row["id"] for row in SqliteStore(ledger.database).rows("SELECT id FROM requests ORDER BY id")]


class StuckStore(SqliteStore):
    """A store that refuses to write until it is told otherwise."""

    stuck = True

    def save(self, records: Iterable[Record]) -> None:
        if self.stuck and (records := list(records)):
            raise OSError(errno.ENOSPC, "No space left on device")
        super().save(records)


def test_a_row_is_found_before_and_after_it_is_drained(ledger: Ledger) -> None:
    ledger.record(local("a"))
    before = ledger.find("a")
    ledger.flush()
    assert (before, ledger.find("a")) == (local("a"), local("a"))


def test_what_was_never_recorded_is_not_found(ledger: Ledger) -> None:
    assert ledger.find("a") is None


def test_rows_reach_the_store_by_themselves(ledger: Ledger) -> None:
    ledger.record(local("a"))
    assert until(lambda: stored(ledger) == ["a"])


@pytest.mark.parametrize("a_second", [1500, 7000, 14000])
def test_under_load_rows_are_moved_some_two_hundred_at_a_time(a_second: int) -> None:
    """Requests wait meanwhile: what is moved less often takes longer at once."""
    pause = 0.2
    for _ in range(5):
        pause = next_pause(pause, int(a_second * pause))

    assert 150 <= a_second * pause <= 250


@pytest.mark.parametrize("moved", [0, 1, 200])
def test_where_few_come_the_store_is_written_five_times_a_second(moved: int) -> None:
    assert next_pause(0.2, moved) == 0.2


def test_after_a_flood_it_is_looked_for_rows_as_seldom_as_before() -> None:
    assert next_pause(0.2, 10_000_000) == 0.005
    assert next_pause(0.005, 0) == 0.2


def test_closing_drains_and_leaves_an_empty_journal(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    for n in range(1200):
        ledger.record(local(f"{n:04}"))
    ledger.close()
    ledger.close()
    assert len(stored(ledger)) == 1200
    assert list((tmp_path / "ledger" / "journal").iterdir()) == []


def test_what_was_only_in_the_journal_is_replayed_once(tmp_path: Path) -> None:
    first = open_ledger(tmp_path / "1", open_store=StuckStore)
    first.record(local("a"))
    first.record(cloud("b"))
    left = died(tmp_path / "1", tmp_path / "2")
    first.close()
    second = open_ledger(left)
    second.close()
    third = open_ledger(left)
    third.close()
    assert (second.replayed, third.replayed) == (2, 0)
    assert stored(third) == ["a", "b"]


def test_a_torn_tail_is_set_aside_and_never_fatal(tmp_path: Path) -> None:
    journal = tmp_path / "ledger" / "journal"
    journal.mkdir(parents=True)
    tail = frame(local("b"))[:50]
    (journal / "000000000001.log").write_bytes(frame(local("a")) + tail)
    ledger = open_ledger(tmp_path)
    ledger.close()
    assert (ledger.replayed, ledger.torn, stored(ledger)) == (1, 1, ["a"])
    assert [path.read_bytes() for path in (tmp_path / "ledger" / "torn").iterdir()] == [tail]


def test_a_cloud_attempt_cut_off_by_a_crash_is_shown_as_unfinished(tmp_path: Path) -> None:
    first = open_ledger(tmp_path / "1")
    first.begin("a", CLOUD, time.time(), key="station", environment="production", reserve_usd=0.5)
    left = died(tmp_path / "1", tmp_path / "2")
    running = first.usage(0, time.time() + 1)["unfinished"]
    first.close()
    second = open_ledger(left)
    crashed = second.usage(0, time.time() + 1)["unfinished"]
    second.close()
    assert running == []
    assert [(row["id"], row["target"]) for row in crashed] == [("a", CLOUD)]


def test_a_cloud_attempt_that_ended_is_not_unfinished(tmp_path: Path) -> None:
    for _ in range(2):
        ledger = open_ledger(tmp_path)
        ledger.begin("a", CLOUD, 1.0)
        ledger.record(cloud("a"))
        ledger.close()
    ledger = open_ledger(tmp_path)
    unfinished = ledger.usage(0, time.time())["unfinished"]
    ledger.close()
    assert unfinished == []


def test_spending_is_counted_at_once_and_only_what_a_cloud_cost(ledger: Ledger) -> None:
    now = time.time()
    ledger.record(cloud("a", time=now))
    ledger.record(local("b", time=now, cost_usd=9.0))
    ledger.record(cloud("c", time=now, cost_usd=None))
    assert ledger.spent(DAY, now) == pytest.approx(0.004)


def test_what_was_not_served_is_not_spent_now_and_after_a_restart(tmp_path: Path) -> None:
    now = time.time()
    unseen: dict[str, Any] = {"estimated": True, "first_token": None}
    rows = [
        cloud("declined", time=now, status=400, cost_usd=1.0),
        cloud("failed", time=now, status=502, cost_usd=2.0),
        cloud("broken", time=now, complete=False, cost_usd=0.25),
        cloud("left", time=now, status=499, complete=False, cost_usd=0.5),
        # Nobody knows how much of its answer upstream had made, and bills.
        cloud("left early", time=now, status=499, complete=False, cost_usd=0.01, reserved_usd=0.125, **unseen),
        cloud("left late", time=now, complete=False, cost_usd=0.125, reserved_usd=9.0, estimated=True),
    ]
    spent = []
    ledger = open_ledger(tmp_path)
    for row in rows:
        ledger.record(row)
    spent.append(ledger.spent(DAY, now))
    ledger.close()
    ledger = open_ledger(tmp_path)
    spent.append(ledger.spent(Budget(name="month", usd=10.0, period="month"), now))
    ledger.close()
    assert spent == pytest.approx([1.0, 1.0])


def test_a_name_of_megabytes_reaches_neither_the_row_nor_the_log_nor_the_journal(ledger: Ledger) -> None:
    row = ledger.record(local("a", asked="m" * 7_500_000))
    found = ledger.find("a")
    assert len(row) < 2000
    assert found is not None
    assert len(found.asked) == 256
    assert sum(path.stat().st_size for path in (ledger.directory / "journal").iterdir()) < 2000


def test_spending_survives_a_restart_and_a_crash_counts_its_reserve(tmp_path: Path) -> None:
    now = time.time()
    first = open_ledger(tmp_path / "1")
    first.record(cloud("a", time=now, cost_usd=1.0))
    first.begin("b", CLOUD, now, key="station", environment="dev", reserve_usd=0.25)
    left = died(tmp_path / "1", tmp_path / "2")
    first.close()
    second = open_ledger(left)
    spent = second.spent(Budget(name="month", usd=10, period="month", environment="dev"), now)
    second.close()
    assert spent == pytest.approx(1.25)


def test_two_processes_cannot_share_a_ledger(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="in use by another router process"):
        open_ledger(tmp_path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"file/ledger: Not a directory; the router needs a directory"):
        open_ledger(tmp_path / "file")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Fill the disk, or free it: every write of the journal and its probe fails, or works again."""
    write, write_bytes, state = os.write, Path.write_bytes, {"full": False}

    def refuse(real: Callable[..., int]) -> Callable[..., int]:
        def maybe(*arguments: Any) -> int:
            if state["full"]:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*arguments)

        return maybe

    monkeypatch.setattr(os, "write", refuse(write))
    monkeypatch.setattr(Path, "write_bytes", refuse(write_bytes))
    return lambda is_full: state.update(full=is_full)


def test_on_a_full_disk_recording_fails_loudly_and_keeps_what_was_there(
    ledger: Ledger, full: Callable[[bool], None]
) -> None:
    ledger.record(local("a"))
    full(True)
    with pytest.raises(LedgerError, match="No space left on device; free space"):
        ledger.record(local("b"))
    with pytest.raises(LedgerError):
        ledger.begin("c", CLOUD, 1.0)
    assert "No space left" in ledger.fault
    assert (ledger.find("a"), ledger.find("b")) == (local("a"), None)


def test_the_fault_goes_when_there_is_room_again(ledger: Ledger, full: Callable[[bool], None]) -> None:
    full(True)
    with pytest.raises(LedgerError):
        ledger.record(local("a"))
    full(False)
    assert until(lambda: ledger.fault == "")
    ledger.record(local("a"))
    assert ledger.find("a") == local("a")


def test_little_free_space_is_a_fault_before_writing_fails(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, min_free_bytes=1 << 60)
    assert until(lambda: "MiB free" in ledger.fault)
    ledger.record(local("a"))
    ledger.close()
    assert stored(ledger) == ["a"]


def _stuck(state_dir: Path) -> StuckStore:
    (state_dir / "ledger").mkdir(parents=True, exist_ok=True)
    return StuckStore(state_dir / "ledger" / "ledger.sqlite")


def test_a_store_that_fails_loses_nothing_and_is_caught_up_with(tmp_path: Path) -> None:
    store = _stuck(tmp_path)
    ledger = open_ledger(tmp_path, open_store=lambda _: store)
    ledger.record(local("a"))
    with pytest.raises(LedgerError, match="1 records are still not in"):
        ledger.flush(timeout=0.3)
    found = ledger.find("a")
    store.stuck = False
    ledger.flush()
    ledger.close()
    assert (found, stored(ledger)) == (local("a"), ["a"])


def test_a_store_that_fails_until_the_end_leaves_the_journal_for_the_next_start(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, open_store=StuckStore)
    ledger.record(local("a"))
    ledger.close()
    again = open_ledger(tmp_path)
    again.close()
    assert (again.replayed, stored(again)) == (1, ["a"])


def test_a_store_that_fails_for_long_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridtie.ledger.ledger._MOST_PENDING", 2)
    monkeypatch.setattr("gridtie.ledger.ledger._WATCH_SECONDS", 0.0)
    store = _stuck(tmp_path)
    ledger = open_ledger(tmp_path, open_store=lambda _: store)
    for id in "abc":
        ledger.record(local(id))
    faulty = until(lambda: "3 records wait for" in ledger.fault)
    store.stuck = False
    well = until(lambda: ledger.fault == "")
    ledger.close()
    assert (faulty, well, stored(ledger)) == (True, True, ["a", "b", "c"])


def test_a_journal_that_grows_beyond_its_bound_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridtie.ledger.ledger._MOST_SPOOLED_BYTES", 1000)
    monkeypatch.setattr("gridtie.ledger.ledger._WATCH_SECONDS", 0.0)
    store = _stuck(tmp_path)
    ledger = open_ledger(tmp_path, open_store=lambda _: store)
    for id in "abc":
        ledger.record(local(id))
    faulty = until(lambda: "3 records wait for" in ledger.fault)
    store.stuck = False
    ledger.flush()
    ledger.close()
    assert (faulty, stored(ledger)) == (True, ["a", "b", "c"])


def test_recording_is_cheap(ledger: Ledger) -> None:
    """The promise is 10 microseconds of this thread; the bound leaves room for a busy machine."""
    rows = [local(f"{n:05}") for n in range(3000)]
    best = float("inf")
    for start in range(0, 3000, 300):
        began = time.thread_time()
        for row in rows[start : start + 300]:
            ledger.record(row)
        best = min(best, (time.thread_time() - began) / 300)
    assert best < 50e-6
