"""The traces of one router process: begun with a request, sent to the collector, counted for metrics."""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gridtie.config.names import PRIVATE
from gridtie.dialects.facts import Facts
from gridtie.gateway.exchange import Exchange, Head
from gridtie.gateway.telemetry import Reading
from gridtie.gateway.traces.exporting import Exporting
from gridtie.gateway.traces.sender import Sender
from gridtie.gateway.traces.trace import Trace
from gridtie.routing.plan import RequestInfo

# Seconds that the end of the process waits for the collector.
CLOSE_SECONDS = 2.0

_HEADERS = ("traceparent", "tracestate")


class Tracing:
    """Belongs to the event loop's thread."""

    def __init__(self, endpoint: str, resource: dict[str, str]) -> None:
        """`resource`: what of the station stands with every span."""
        self._exporting = Exporting(Sender(endpoint, resource), endpoint)
        self._exporting.start()
        self._ids = RandomIdGenerator()
        self._context = TraceContextTextMapPropagator()

    def begin(self, exchange: Exchange, info: RequestInfo, facts: Facts | None = None) -> Trace:
        """A request is about to be decided about, or refused."""
        head = exchange.head
        parent = self._parent(head)
        trace_id = self._ids.generate_trace_id() if parent is None else parent.trace_id
        path = head.route.path if head.route is not None else ""
        route = f"{head.method.decode('latin-1')} {path}"
        trace = Trace(parent, trace_id, self._ids.generate_span_id, self._exporting.put, route)
        if facts is not None:
            trace.dialect = facts.dialect
            if head.loaded.routing.traces.prompts and PRIVATE not in info.tags and not info.relayed:
                trace.facts = facts
        return trace

    def _parent(self, head: Head) -> SpanContext | None:
        """The client's span, if it names one as W3C's trace context has it."""
        carrier = {name: head.headers.get(name.encode(), b"").decode("latin-1") for name in _HEADERS}
        if not carrier["traceparent"]:
            return None
        found = get_current_span(self._context.extract(carrier)).get_span_context()
        return found if found.is_valid else None

    def readings(self) -> Iterator[Reading]:
        """For a scrape: what became of the requests whose spans were to be sent."""
        yield "gridtie_traced_requests", ("sent",), self._exporting.sent
        yield "gridtie_traced_requests", ("failed",), self._exporting.failed
        yield "gridtie_traced_requests", ("dropped",), self._exporting.dropped

    def close(self) -> None:
        """Send what waits, for a bounded time. Blocks: for another thread than the loop's."""
        self._exporting.close(CLOSE_SECONDS)
