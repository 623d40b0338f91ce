"""One request while it runs: whose trace it is part of, and its attempts as they end."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from opentelemetry.trace import SpanContext

from gridtie.dialects.facts import Facts
from gridtie.ledger.entry import Entry, Try
from gridtie.providers.target import Target
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import PlannedAttempt

# Of trace-context's flags: the trace is recorded.
SAMPLED = 1


class Leg(msgspec.Struct, frozen=True):
    """One attempt that has ended; `started` is monotonic, in seconds."""

    span_id: int
    planned: PlannedAttempt
    started: float
    tried: Try
    # Whether anything was sent.
    sent: bool


class Finished(msgspec.Struct, frozen=True):
    """A request that has come to its end, and all that its spans are made of."""

    trace: Trace
    outcome: Outcome
    entry: Entry


class Trace:
    """A `routing.outcome.Trace`."""

    __slots__ = ("_finish", "_new_id", "_span_id", "dialect", "facts", "legs", "parent", "route", "span_id", "trace_id")

    def __init__(
        self,
        parent: SpanContext | None,
        trace_id: int,
        new_id: Callable[[], int],
        finish: Callable[[Finished], None],
        route: str,
    ) -> None:
        """`parent`: the client's span; None where it names none. `route`: method and path, as the span is called."""
        self.parent = parent
        self.trace_id = trace_id
        self.span_id = new_id()
        self.route = route
        # The wire format it is in; "" where it could not be read.
        self.dialect = ""
        # What it says, where that may be told.
        self.facts: Facts | None = None
        self.legs: list[Leg] = []
        self._new_id = new_id
        self._finish = finish
        # Of the attempt under way; 0: it has told nobody.
        self._span_id = 0

    @property
    def sampled(self) -> bool:
        """Whether the client wants it recorded; one that says nothing does."""
        return self.parent is None or bool(self.parent.trace_flags & SAMPLED)

    def upstream(self, target: Target) -> tuple[tuple[str, str], ...]:
        # A request that is sent again over another connection is the same attempt.
        self._span_id = self._span_id or self._new_id()
        flags = SAMPLED if self.sampled else 0
        parent = ("traceparent", f"00-{self.trace_id:032x}-{self._span_id:016x}-{flags:02x}")
        # What other tracers wrote into it is no business of a cloud's, which has no part in the trace.
        if target.locality == "cloud" or self.parent is None or not self.parent.trace_state:
            return (parent,)
        return (parent, ("tracestate", self.parent.trace_state.to_header()))

    def tried(self, planned: PlannedAttempt, started: float, tried: Try) -> None:
        self.legs.append(Leg(self._span_id or self._new_id(), planned, started, tried, self._span_id != 0))
        self._span_id = 0

    def ended(self, outcome: Outcome, entry: Entry) -> None:
        if self.sampled:
            self._finish(Finished(self, outcome, entry))
