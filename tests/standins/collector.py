"""An OpenTelemetry collector over OTLP/HTTP, which reads what it gets by OpenTelemetry's own protocol files.

It takes spans, or does what collectors in trouble do: `REFUSES`, `REDIRECTS`, or `HANGS` until it is closed.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

KINDS = {Span.SPAN_KIND_SERVER: "server", Span.SPAN_KIND_CLIENT: "client", Span.SPAN_KIND_INTERNAL: "internal"}


class Mode(Enum):
    TAKES = "takes"
    REFUSES = "refuses"
    REDIRECTS = "redirects"
    HANGS = "hangs"


class Received:
    """One span, as the collector reads it."""

    def __init__(self, span: Span) -> None:
        self.name = span.name
        self.kind = KINDS[span.kind]
        self.trace_id = span.trace_id.hex()
        self.span_id = span.span_id.hex()
        self.parent_id = span.parent_span_id.hex()
        self.state = span.trace_state
        self.start, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.failed = span.status.code == Status.STATUS_CODE_ERROR
        self.told = span.status.message
        self.attributes = _values(span.attributes)


class Collector:
    """What came, in order."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        # Bodies as they were sent, without their compression; paths; the resource of the last.
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.spans: list[Received] = []
        self.resource: dict[str, Any] = {}
        self.open = threading.Event()
        self.asked = threading.Event()
        self.url = ""

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.paths.append(path)
        self.headers.append(headers)
        self.bodies.append(body)
        request = ExportTraceServiceRequest.FromString(body)
        for of_resource in request.resource_spans:
            self.resource = _values(of_resource.resource.attributes)
            self.spans += [Received(span) for scope in of_resource.scope_spans for span in scope.spans]

    def trace(self, trace_id: str) -> list[Received]:
        """Its spans, by their begin."""
        return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.start)


@contextmanager
def collector(mode: Mode = Mode.TAKES) -> Iterator[Collector]:
    """One that listens on loopback, as long as the block runs."""
    stand_in = Collector(mode)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            stand_in.asked.set()
            if stand_in.mode is Mode.HANGS:
                stand_in.open.wait()
                self.close_connection = True
                return
            if stand_in.mode is Mode.TAKES:
                packed = self.headers.get("content-encoding") == "gzip"
                headers = {name.lower(): value for name, value in self.headers.items()}
                stand_in.take(self.path, headers, gzip.decompress(body) if packed else body)
            status = {Mode.TAKES: 200, Mode.REFUSES: 400, Mode.REDIRECTS: 307}[stand_in.mode]
            self.send_response(status)
            self.send_header("content-length", "0")
            if status == 307:
                self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="collector")
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.open.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes if isinstance(each, KeyValue)}


def _value(value: AnyValue) -> Any:
    if value.HasField("array_value"):
        return [_value(each) for each in value.array_value.values]
    return getattr(value, str(value.WhichOneof("value")))
