"""Between requests and a collector: a queue with an end, one thread, and one line of log for a fault."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from time import monotonic, sleep
from typing import Any

import pytest

from gridtie.gateway.traces import exporting as module
from gridtie.gateway.traces.exporting import Exporting
from gridtie.gateway.traces.trace import Finished
from unit.gateway.traces.conftest import finished


class Sent:
    """A `Send` that waits until it is let go on, and fails for as long as it is told a fault."""

    def __init__(self) -> None:
        self.batches: list[list[Finished]] = []
        self.fault = ""
        self.go_on = threading.Event()
        self.begun = threading.Event()

    def __call__(self, batch: Sequence[Finished]) -> str:
        self.begun.set()
        self.go_on.wait(10)
        self.batches.append(list(batch))
        return self.fault


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    monkeypatch.setattr(module, "INTERVAL", 0.01)
    sent = Sent()
    yield sent
    sent.go_on.set()


def until(holds: Any) -> None:
    end = monotonic() + 5
    while not holds():
        assert monotonic() < end
        sleep(0.005)


def test_what_ended_is_sent_in_order_and_counted(sent: Sent) -> None:
    sent.go_on.set()
    exporting = Exporting(sent, "here")
    exporting.start()
    requests = [finished() for _ in range(module.BATCH * 2 + 3)]
    for request in requests:
        exporting.put(request)
    exporting.close(5)

    assert [each for batch in sent.batches for each in batch] == requests
    assert max(len(batch) for batch in sent.batches) <= module.BATCH
    assert (exporting.sent, exporting.failed, exporting.dropped) == (len(requests), 0, 0)


def test_what_finds_no_room_is_counted_and_kept_nowhere(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUED", 5)
    exporting = Exporting(sent, "here")
    exporting.start()
    exporting.put(finished())
    assert sent.begun.wait(5)
    for _ in range(12):
        exporting.put(finished())

    assert exporting.dropped == 7
    sent.go_on.set()
    exporting.close(5)
    assert exporting.sent == 6


def test_prompts_have_a_bound_of_their_own_and_a_span_goes_without_its_own_before_it_is_dropped(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUED_BYTES", 1000)
    exporting = Exporting(sent, "here")
    first, second = finished("x" * 700), finished("y" * 700)
    exporting.put(first)
    exporting.put(second)

    assert (first.trace.facts is None, second.trace.facts is None, exporting.dropped) == (False, True, 0)
    exporting.start()
    sent.go_on.set()
    until(lambda: exporting.sent == 2)
    third = finished("z" * 700)
    exporting.put(third)
    assert third.trace.facts is not None
    exporting.close(5)


def test_a_fault_is_told_once_and_its_end_once(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gridtie.traces")
    sent.go_on.set()
    sent.fault = "HTTP 503"
    exporting = Exporting(sent, "http://collector:4318")
    exporting.start()
    for count in range(1, 5):
        exporting.put(finished())
        until(lambda count=count: exporting.failed == count)
    sent.fault = ""
    exporting.put(finished())
    exporting.close(5)

    assert (exporting.failed, exporting.sent) == (4, 1)
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("traces: http://collector:4318 takes none (HTTP 503, after ")
    assert last == "traces: http://collector:4318 takes them again"


def test_the_end_waits_no_longer_than_it_is_told(sent: Sent, caplog: pytest.LogCaptureFixture) -> None:
    exporting = Exporting(sent, "here")
    exporting.start()
    exporting.put(finished())
    assert sent.begun.wait(5)
    began = monotonic()
    exporting.close(0.2)

    assert 0.2 <= monotonic() - began < 2
    assert "did not take what was left in 0.2 s" in caplog.text
    exporting.put(finished())
    assert exporting.dropped == 1
