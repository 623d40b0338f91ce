"""The ledger of one router process: journal first, store behind it.

What happens when the disk is full or read-only: an answer that cannot be metered is not given. `record` and `begin`
raise, `fault` says why until writing works again, and a gateway that looks at `fault` before it accepts a request
answers 503 instead of doing work that it would have to throw away. Free space is watched, so that `fault` is set while
there is still room for the requests in flight.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gridtie.config.schema import Budget
from gridtie.ledger.budget import Spending, period_start
from gridtie.ledger.entry import Entry, bounded
from gridtie.ledger.journal import Begin, Journal, Record, Torn, encode, frame, read
from gridtie.ledger.migrate import copies
from gridtie.ledger.prices import Prices
from gridtie.ledger.retention import Removal, drop_torn, remove
from gridtie.ledger.store import SqliteStore, Store, StoreError
from gridtie.ledger.usage import report
from gridtie.ledger.zone import Zone

log = logging.getLogger("gridtie.ledger")

# How often the drain looks for records: a bound on the size of a batch, not on what survives. The more come, the more
# often it looks, so that some two hundred are moved at a time: while it has the interpreter, requests wait (0059).
_DRAIN_SECONDS, _LEAST_SECONDS = 0.2, 0.005
_FEW = 200
_BATCH = 500
_WATCH_SECONDS = 5.0
# Records wait in memory when the store fails (the journal has them too); beyond this it is a fault, not a delay.
_MOST_PENDING = 50_000
# The same in bytes of the journal.
_MOST_SPOOLED_BYTES = 256 * 1024 * 1024
# Room for the rows of every request that may be in flight, twice over.
_MIN_FREE_BYTES = 16 * 1024 * 1024
_FLUSH_SECONDS = 10.0
# Of a usual row; what is beyond it is looked at for names without bounds.
_SHORT_BYTES = 1024


class LedgerError(Exception):
    """The ledger cannot be opened or written; the message names the place, the cause and the remedy."""


class Ledger:
    """`begin`, `record` and `spent` belong to one thread (the event loop's); the rest may be called from any.

    `usage` and `find` read the disk: call them off the event loop.
    """

    def __init__(
        self,
        state_dir: Path,
        prices: Prices,
        *,
        open_store: Callable[[Path], Store] = SqliteStore,
        min_free_bytes: int = _MIN_FREE_BYTES,
    ) -> None:
        """Open the ledger below `state_dir`; what an earlier process left is replayed.

        `open_store` is given the path of the SQLite file, which is the store, or its copy of one that others share.
        Raises `LedgerError` and `StoreError`.
        """
        self.prices = prices
        self.directory = state_dir / "ledger"
        self.database = self.directory / "ledger.sqlite"
        # Why nothing can be metered now; "" while all is well.
        self.fault = ""
        self._min_free = min_free_bytes
        try:
            self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = _locked(self.directory / "lock")
        except OSError as error:
            raise _unusable(self.directory, error) from error
        try:
            self._store = open_store(self.database)
            self._journal = Journal(self.directory / "journal")
            self.replayed, self.torn = self._replay()
        except OSError as error:
            os.close(self._lock)
            raise _unusable(self.directory, error) from error
        except BaseException:
            os.close(self._lock)
            raise
        self._spending = Spending(self._spent_before())
        self._pending: deque[tuple[int, Record]] = deque()
        self._entries: dict[str, Entry] = {}
        self._recorded = self._drained = 0
        self._kept_from = self._journal.segment
        self._wake, self._moved = threading.Event(), threading.Condition()
        self._closing = self._stuck = False
        self._thread = threading.Thread(target=self._drain_forever, name="ledger-drain", daemon=True)
        self._thread.start()

    # -- writing -----------------------------------------------------------------------------------------------------

    def begin(
        self,
        id: str,
        target_id: str,
        time: float,
        *,
        key: str = "",
        environment: str = "",
        reserve_usd: float = 0.0,
    ) -> None:
        """Journal that a cloud attempt is about to be sent. Raises `LedgerError`, and then it must not be sent."""
        begin = Begin(id=id, target=target_id, time=time, key=key, environment=environment, reserve_usd=reserve_usd)
        self._write(begin, encode(begin))

    def record(self, entry: Entry) -> bytes:
        """Journal one request's row; it is safe from the death of this process once this returns. Its JSON.

        Call it before the last bytes leave. Raises `LedgerError`: then the answer must not be completed.
        """
        row = encode(entry)
        # A row that is short, and says nothing of what went wrong, holds no text that is too long.
        if len(row) > _SHORT_BYTES or entry.error or len(entry.tries) > 1:
            entry = bounded(entry)
            row = encode(entry)
        # In this order, so that `find` never misses a row that the drain has already taken.
        self._entries[entry.id] = entry
        try:
            self._write(entry, row)
        except LedgerError:
            del self._entries[entry.id]
            raise
        if entry.cost_usd and (spent := entry.spent_usd):
            self._spending.add(entry.time, entry.environment, entry.key, spent)
        return row

    def _write(self, record: Record, body: bytes) -> None:
        try:
            segment = self._journal.append(frame(record, body))
        except OSError as error:
            self.fault = f"{self._journal.directory} cannot be written: {error.strerror}; free space or restore access"
            raise LedgerError(self.fault) from error
        self._recorded += 1
        self._pending.append((segment, record))

    @property
    def pending(self) -> int:
        """Records that are in the journal and not yet in the store."""
        return len(self._pending)

    # -- reading -----------------------------------------------------------------------------------------------------

    def find(self, id: str) -> Entry | None:
        """The row of a request, also while it waits to be drained."""
        return self._entries.get(id) or self._store.find(id)

    def latest(self, count: int, key: str | None = None) -> list[Entry]:
        """The newest rows, the newest first; of one key, or of all. Raises `LedgerError`."""
        self.flush()
        return self._store.latest(count, key)

    def usage(
        self, since: float, until: float, by: str | None = None, key: str | None = None, zone: Zone | None = None
    ) -> dict[str, Any]:
        """The report on [since, until) in Unix seconds, see `ledger.usage`. Raises `UsageError`, `LedgerError`."""
        self.flush()
        return report(
            self._store,
            self.database,
            since=since,
            until=until,
            by=by,
            key=key,
            price_date=self.prices.date,
            zone=zone or Zone(),
        )

    def spent(self, budget: Budget, now: float) -> float:
        """US dollars of cloud spend in the budget's period around `now`; attempts in flight are not in it."""
        return self._spending.spent(budget, now)

    def remover(self, removal: Removal) -> Callable[[], dict[str, Any]]:
        """What takes rows out of the ledger and tells what it did: to be called off the event loop, which serves on.

        This itself is called on the loop's thread: the journal goes on in a new segment, so that the rows in those
        before it can be deleted as well. The work raises `LedgerError`.
        """
        try:
            segment = self._journal.turn()
        except OSError as error:
            raise _unusable(self._journal.directory, error) from error
        return lambda: self._remove(removal, segment)

    def _remove(self, removal: Removal, segment: int) -> dict[str, Any]:
        self.flush()
        now = time.time()
        try:
            # What was recorded before the segment is in the store by now.
            self._journal.drop_before(segment)
            torn = drop_torn(self.directory / "torn", removal, now)
            files = {path.name: remove(path, removal, now, live=False) for path in copies(self.database)}
            removed = self._store.remove(removal, now)
        except (OSError, sqlite3.Error, StoreError) as error:
            raise LedgerError(
                f"{self.directory}: {error}; what was removed so far is gone; free space or restore access, ask again"
            ) from error
        return {
            "schema": 1,
            **{name: value for name, value in msgspec.to_builtins(removal).items() if value is not None},
            **msgspec.to_builtins(removed),
            "torn": torn,
            "copies": {name: each.rows for name, each in files.items()},
        }

    def flush(self, timeout: float = _FLUSH_SECONDS) -> None:
        """Wait until everything recorded so far is in the store. Raises `LedgerError` when it takes longer."""
        wanted = self._recorded
        self._wake.set()
        with self._moved:
            if not self._moved.wait_for(lambda: self._drained >= wanted, timeout):
                raise LedgerError(
                    f"{wanted - self._drained} records are still not in {self.database} after {timeout:g} s; "
                    "they are safe in the journal; see the router's log for the cause"
                )

    def close(self) -> None:
        """Drain, then let go of everything; idempotent. What cannot be drained stays in the journal."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        self._thread.join(_FLUSH_SECONDS)
        self._journal.close()
        if not self._pending:
            self._journal.drop_before(self._journal.segment + 1)
        self._store.close()
        os.close(self._lock)

    # -- the drain ---------------------------------------------------------------------------------------------------

    def _drain_forever(self) -> None:
        watched, pause = 0.0, _DRAIN_SECONDS
        while True:
            before = self._drained
            self._wake.wait(pause)
            self._wake.clear()
            closing = self._closing
            drained = self._drained_all()
            pause = next_pause(pause, self._drained - before)
            if closing and (not drained or not self._pending):
                return
            if time.monotonic() - watched > _WATCH_SECONDS or self.fault:
                watched = time.monotonic()
                self._watch()

    def _drained_all(self) -> bool:
        """Try to drain; False if something is in the way. Said once, not at every try."""
        try:
            self._store.refresh()
            self._drain()
        except Exception:
            if not self._stuck:
                log.exception("ledger: %d records cannot be stored; they wait in the journal", len(self._pending))
            self._stuck = True
            return False
        if self._stuck:
            log.warning("ledger: the store has caught up with the journal")
        self._stuck = False
        return True

    def _drain(self) -> None:
        """Move what is pending into the store. Raises what the store raises."""
        while self._pending:
            batch = [self._pending[i] for i in range(min(_BATCH, len(self._pending)))]
            self._store.save([record for _, record in batch])
            for _, record in batch:
                self._pending.popleft()
                if isinstance(record, Entry):
                    self._entries.pop(record.id, None)
            with self._moved:
                self._drained += len(batch)
                self._moved.notify_all()
            if batch[-1][0] > self._kept_from:
                self._journal.drop_before(batch[-1][0])
                self._kept_from = batch[-1][0]

    def _watch(self) -> None:
        """Set or clear `fault` by what the disk and the store look like now."""
        fault = self._trouble()
        if fault and fault != self.fault:
            log.error("ledger: %s", fault)
        elif self.fault and not fault:
            log.warning("ledger: writing works again")
        self.fault = fault

    def _trouble(self) -> str:
        probe = self._journal.directory / "probe"
        try:
            status = os.statvfs(self._journal.directory)
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
        except OSError as error:
            return f"{self._journal.directory} cannot be written: {error.strerror}; free space or restore access"
        free = status.f_bavail * status.f_frsize
        spooled = self._journal.size()
        if free < self._min_free:
            return f"{self.directory} has {free // 2**20} MiB free, {self._min_free // 2**20} MiB wanted; free space"
        if len(self._pending) > _MOST_PENDING or spooled > _MOST_SPOOLED_BYTES:
            return (
                f"{len(self._pending)} records wait for {self.database}, {spooled >> 20} MiB of journal; see the "
                "router's log for the cause"
            )
        return ""

    # -- start-up ----------------------------------------------------------------------------------------------------

    def _replay(self) -> tuple[int, int]:
        """Bring the segments of earlier processes into the store; returns how many records, how many torn stretches."""
        records = torn = 0
        for number, path in self._journal.segments():
            if number == self._journal.segment:
                continue
            batch: list[Record] = []
            for found in read(path):
                if isinstance(found, Torn):
                    torn += 1
                    self._set_aside(path, found)
                    continue
                batch.append(found)
                if len(batch) == _BATCH:
                    self._store.save(batch)
                    records, batch = records + len(batch), []
            self._store.save(batch)
            records += len(batch)
        self._journal.drop_before(self._journal.segment)
        unfinished = self._store.abandon()
        if records or torn:
            log.warning(
                "ledger: an earlier process was cut off: %d records of its journal read again, %d torn ones set aside, "
                "%d cloud attempts without an end",
                records,
                torn,
                unfinished,
            )
        return records, torn

    def _set_aside(self, segment: Path, torn: Torn) -> None:
        aside = self.directory / "torn"
        aside.mkdir(mode=0o750, exist_ok=True)
        (aside / f"{segment.stem}-{torn.offset}.bin").write_bytes(torn.data)

    def _spent_before(self) -> list[tuple[float, str, str, float]]:
        """Cloud spend of this month, by hour."""
        return self._store.spending(period_start("month", time.time()))


def next_pause(pause: float, moved: int) -> float:
    """Seconds until some two hundred records have come together, if they come as fast as during the last pause."""
    return max(_LEAST_SECONDS, min(_DRAIN_SECONDS, pause * _FEW / moved)) if moved else _DRAIN_SECONDS


def _unusable(directory: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"{directory}: {error.strerror or error}; the router needs a directory that it may write, with free space"
    )


def _locked(path: Path) -> int:
    """Hold the ledger for this process. The kernel lets go of it however the process ends. Raises `LedgerError`."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise LedgerError(
            f"{path.parent} is in use by another router process; stop it, or give this one another state directory"
        ) from error
    return fd
