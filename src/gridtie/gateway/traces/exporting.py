"""What stands between requests that end and a collector: a bounded queue, and the one thread that empties it.

The event loop only appends. Whatever the collector does, a request that finds no room is left out and counted, and the
thread is waited for at the end no longer than it is told.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic

from gridtie.gateway.traces.trace import Finished

log = logging.getLogger("gridtie.traces")

# Requests that wait, some 2 KB each: a busy second or two.
QUEUED = 4096
# Bytes of prompts that wait with them, where those may be told.
QUEUED_BYTES = 16 * 1024 * 1024
# Requests that are sent at once. Larger ones hold the interpreter longer than an answer should wait for it.
BATCH = 64
# Seconds until a batch goes that has not become full.
INTERVAL = 1.0

# Sends the spans of some requests; what is wrong, "" where they were taken. Never raises.
Send = Callable[[Sequence[Finished]], str]


class Exporting:
    """`put` and `close` are the loop's; what was sent and what was not may be read from there as well."""

    def __init__(self, send: Send, where: str) -> None:
        """`where` names the collector in the log."""
        self._send = send
        self._where = where
        self._queue: deque[Finished] = deque()
        # Each is written by one thread alone: by the loop what came, by the other what went.
        self._bytes_in = self._bytes_out = 0
        self.dropped = self.sent = self.failed = 0
        self._fault = ""
        self._closed = False
        self._wake = threading.Event()
        # A daemon: a collector that never answers does not keep the process.
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, finished: Finished) -> None:
        """Have it sent, without its prompt where those take too much room, or count it as left out."""
        trace = finished.trace
        if self._closed or len(self._queue) >= QUEUED:
            self.dropped += 1
            return
        if trace.facts is not None:
            size = _size(finished)
            if self._bytes_in - self._bytes_out + size > QUEUED_BYTES:
                trace.facts = None
            else:
                self._bytes_in += size
        self._queue.append(finished)
        if len(self._queue) >= BATCH and not self._wake.is_set():
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at most. For a thread that may wait; idempotent."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if self._thread.is_alive():
            log.warning("traces: %s did not take what was left in %g s", self._where, seconds)

    def _run(self) -> None:
        while not (self._closed and not self._queue):
            self._wake.wait(INTERVAL)
            self._wake.clear()
            # What has waited, and then what is a whole batch by now; the rest waits for the next time.
            self._export()
            while len(self._queue) >= BATCH or (self._closed and self._queue):
                self._export()

    def _export(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
        if not batch:
            return
        began = monotonic()
        fault = self._send(batch)
        self._bytes_out += sum(_size(finished) for finished in batch if finished.trace.facts is not None)
        if fault:
            self.failed += len(batch)
        else:
            self.sent += len(batch)
        self._tell(fault, monotonic() - began)

    def _tell(self, fault: str, seconds: float) -> None:
        """Once when it begins to fail, and once when it is over."""
        if fault and not self._fault:
            log.warning(
                "traces: %s takes none (%s, after %.1f s); requests go on, and gridtie_traced_requests_total counts",
                self._where,
                fault,
                seconds,
            )
        elif self._fault and not fault:
            log.info("traces: %s takes them again", self._where)
        self._fault = fault


def _size(finished: Finished) -> int:
    """Bytes that a prompt holds: all of the body, images too."""
    facts = finished.trace.facts
    return 0 if facts is None else sum(len(memoryview(raw)) for raw in facts.fields.values())
