"""Spans by OpenTelemetry's SDK, to a collector by its OTLP/HTTP exporter."""

from __future__ import annotations

import logging
import ssl
import traceback
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from requests.utils import get_environ_proxies

from gridtie.config import address
from gridtie.gateway.traces.spans import Span, spans
from gridtie.gateway.traces.trace import SAMPLED, Finished
from gridtie.host.version import __version__

# Seconds that one batch may take, with what the exporter tries again.
EXPORT_SECONDS = 5.0

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}


class Sender:
    """Called from one thread at a time."""

    def __init__(self, endpoint: str, resource: dict[str, str]) -> None:
        """`endpoint`: the collector's base URL, as OTEL_EXPORTER_OTLP_ENDPOINT has it."""
        # It logs each batch that fails; here that is said once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        url = traces_url(endpoint)
        self._session = _Session(url)
        self._exporter = OTLPSpanExporter(
            endpoint=url,
            certificate_file=ssl.get_default_verify_paths().cafile,
            timeout=EXPORT_SECONDS,
            compression=Compression.Gzip,
            session=self._session,
        )
        own = {
            "service.name": "gridtie-router",
            "service.version": __version__,
            "service.instance.id": str(uuid.uuid4()),
        }
        self._ids = _Given()
        self._made = _Made()
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=Resource.create({**own, **resource}), id_generator=self._ids,
            shutdown_on_exit=False,
        )  # fmt: skip
        provider.add_span_processor(self._made)
        self._tracer = provider.get_tracer("gridtie", __version__)

    def __call__(self, batch: Sequence[Finished]) -> str:
        try:
            for finished in batch:
                self._make(finished)
            self._session.fault = ""
            taken = self._exporter.export(self._made.take())
        except Exception as error:
            # Whatever it was: the next batch is another one. Its message may be made of a prompt.
            self._made.take()
            *_, frame = traceback.extract_tb(error.__traceback__)
            return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
        return "" if taken is SpanExportResult.SUCCESS else self._session.fault or "not taken"

    def _make(self, finished: Finished) -> None:
        trace = finished.trace
        request, *attempts = spans(finished)
        self._end(request, trace.trace_id, trace.parent)
        state = trace.parent.trace_state if trace.parent is not None else None
        parent = SpanContext(trace.trace_id, trace.span_id, False, TraceFlags(SAMPLED), state)
        for attempt in attempts:
            self._end(attempt, trace.trace_id, parent)

    def _end(self, span: Span, trace_id: int, parent: SpanContext | None) -> None:
        self._ids.trace_id, self._ids.span_id = trace_id, span.span_id
        context = set_span_in_context(NonRecordingSpan(parent)) if parent is not None else None
        made = self._tracer.start_span(
            span.name, context, _KINDS[span.kind], attributes=span.attributes, start_time=span.start
        )
        if span.error is not None:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(span.end)


def traces_url(endpoint: str) -> str:
    """Where spans are sent: below the base, which some write with that path."""
    base = endpoint.rstrip("/")
    return base if base.endswith("/v1/traces") else f"{base}/v1/traces"


class _Given(IdGenerator):
    """Upstream was told the ids before there was a span."""

    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Made(SpanProcessor):
    """Keeps the spans that ended, until they are taken."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def take(self) -> list[ReadableSpan]:
        taken, self._spans = self._spans, []
        return taken


class _Session(requests.Session):
    """Asks the collector alone: no redirects, none of the machine's credentials; answers' bodies are not read."""

    def __init__(self, url: str) -> None:
        super().__init__()
        # Why the last batch was not taken.
        self.fault = ""
        self.trust_env = False
        if not address.is_loopback(address.read(url).host):
            self.proxies = get_environ_proxies(url)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        try:
            response = super().send(request, **{**options, "stream": True, "allow_redirects": False})
        except requests.RequestException as error:
            self.fault = _fault(error)
            raise
        response.close()
        if not response.ok or response.is_redirect:
            self.fault = f"HTTP {response.status_code}"
        if 300 <= response.status_code < 400:
            # The exporter would take it for a success.
            raise requests.RequestException(self.fault)
        return response


def _fault(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate cannot be checked, or it speaks no TLS"
    if isinstance(error, requests.Timeout):
        return f"no answer within {EXPORT_SECONDS:g} s"
    return "it cannot be reached"
