"""What targets are told of a trace, and what is kept of attempts."""

from __future__ import annotations

from itertools import count

from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from gridtie.gateway.traces.trace import Finished, Trace
from gridtie.ledger.entry import Entry, Try
from gridtie.providers.target import Target
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Plan, PlannedAttempt, RequestInfo

TARGET = Target(
    id="here/small", provider="here", model="small", locality="local", dialect="openai", base_url="http://h:1/v1"
)
PLANNED = PlannedAttempt(target=TARGET, reason="first")
TRIED = Try(target="here/small", locality="local", outcome="ok", duration=0.5)


def trace(kept: list[Finished] | None = None, flags: int = 1) -> Trace:
    ids = count(0xA0)
    parent = SpanContext(0xABC, 0xDEF, True, TraceFlags(flags), TraceState([("v", "1")]))
    return Trace(parent, 0xABC, lambda: next(ids), ([] if kept is None else kept).append, "POST /v1/messages")


def test_a_request_that_is_sent_again_over_another_connection_is_the_same_attempt() -> None:
    found = trace()

    first, again = found.upstream(TARGET), found.upstream(TARGET)
    assert first == again == (("traceparent", f"00-{0xABC:032x}-{0xA1:016x}-01"), ("tracestate", "v=1"))
    found.tried(PLANNED, 1.0, TRIED)
    assert found.upstream(TARGET) != first


def test_an_attempt_has_the_span_that_its_target_was_told_and_one_that_was_passed_over_another() -> None:
    found = trace()
    found.tried(PLANNED, 1.0, TRIED)
    found.upstream(TARGET)
    found.tried(PLANNED, 2.0, TRIED)

    assert [(leg.span_id, leg.sent, leg.started) for leg in found.legs] == [(0xA1, False, 1.0), (0xA2, True, 2.0)]


def test_what_the_client_does_not_record_is_not_kept() -> None:
    info = RequestInfo(id="r-1", surface="openai", alias="coder", environment="dev", key="anna")
    outcome = Outcome(info, Plan(rule="all"), 0.0, 0.0)
    entry = Entry(id="r-1", time=0.0, key="anna", environment="dev", surface="openai", asked="coder", status=200)
    kept: list[Finished] = []
    trace(kept, flags=0).ended(outcome, entry)
    assert kept == []
    trace(kept).ended(outcome, entry)
    assert len(kept) == 1
