"""The front of the router: HTTP/1.1 from clients, one request in flight per connection.

What is not plainly one well-formed message is refused and the connection closed: where two readers of the
same bytes could disagree on where a request ends, someone could smuggle one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import Protocol, cast

import httptools

from gridtie.config.schema import Limits
from gridtie.gateway import limits
from gridtie.gateway.exchange import Exchange, Head
from gridtie.gateway.settings import Loaded

log = logging.getLogger(__name__)

# Headers of which a second one would leave open which of them holds.
_SINGLE = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"content-type",
        b"authorization",
        b"x-api-key",
        b"origin",
        b"expect",
        b"x-gridtie-environment",
        b"x-gridtie-agent",
    )
)


class Service(Protocol):
    """What the front serves."""

    limits: Limits
    date_line: bytes
    draining: bool
    # Replaced whenever a head could be judged differently than before.
    loaded: Loaded

    def request_id(self) -> str: ...

    def opened(self, connection: ClientConnection) -> bool:
        """A client has connected; False where there are too many."""
        ...

    def closed(self, connection: ClientConnection) -> None: ...

    def admit(self, exchange: Exchange) -> bool:
        """Judge the head of a request before its body is read; False where it has been answered."""
        ...

    def handle(self, exchange: Exchange) -> None:
        """Answer a whole request, now or later."""
        ...

    def refuse(self, exchange: Exchange, status: int, code: str, message: str) -> None:
        """Answer with an error."""
        ...


class ClientConnection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._transport: asyncio.Transport  # from connection_made on
        self._parser = httptools.HttpRequestParser(self)
        # The last head that was admitted here.
        self._known: Head | None = None
        # The request being read, from the end of its head on; those read and not yet begun; the one in flight.
        self._reading = False
        self._current: Exchange | None = None
        self._ready: deque[Exchange] = deque()
        self._exchange: Exchange | None = None
        self._held = bytearray()
        self._paused = False
        self._write_paused = 0.0
        self._closing = False
        # Bytes thrown away so far after an early refusal; -1: not doing so.
        self._lingering = -1
        self._deadline, self._late = monotonic() + limits.KEEP_ALIVE_SECONDS, ""

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        self._transport.set_write_buffer_limits(high=limits.WRITE_HIGH_WATER)
        if not self._service.opened(self):
            exchange = Exchange(self, self._service.request_id())
            self._closing = True
            self._service.refuse(exchange, 503, "too_many_connections", "too many connections; come back later")
            self._linger()

    def data_received(self, data: bytes) -> None:
        if self._lingering >= 0:
            self._lingering += len(data)
            if self._lingering > limits.LINGER_BYTES:
                self._transport.abort()
        elif self._exchange is not None or self._ready or self._write_paused:
            # One at a time, and none before the last answer has been taken. Reading goes on a little, or the end of
            # the connection would go unnoticed.
            self._held += data
            if len(self._held) > limits.PIPELINE_BYTES:
                self._transport.pause_reading()
                self._paused = True
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        # Half-closed counts as gone, as it does with nginx: nobody would notice otherwise that an abandoned
        # answer is still being generated.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.closed(self)
        self._current = None
        self._ready.clear()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.gone()

    def pause_writing(self) -> None:
        self._write_paused = monotonic()
        if self._exchange is not None and self._exchange.listener is not None:
            self._exchange.listener.pause()

    def resume_writing(self) -> None:
        self._write_paused = 0.0
        if self._exchange is not None and self._exchange.listener is not None:
            self._exchange.listener.resume()
        elif self._exchange is None:
            self._loop.call_soon(self._continue)

    # -- httptools ---------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._reading = True
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        self._head_done = False
        self._repeated = b""
        if self._exchange is None:
            self._deadline, self._late = monotonic() + self._service.limits.header_timeout, "headers"

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return  # a trailer: nothing may be decided by what comes after the body
        name = name.lower()
        headers = self._headers
        if name in headers:
            if name in _SINGLE:
                self._repeated = name
            value = headers[name] + b", " + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        self._head_done = True
        if not self._reading:
            return
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._current = exchange = Exchange(self, self._service.request_id())
        headers, known = self._headers, self._known
        length = headers.pop(b"content-length", b"")
        if (
            known is not None
            and headers == known.headers
            and self._url == known.url
            and self._parser.get_method() == known.method
            and self._service.loaded is known.loaded
            and self._exchange is None
            and not self._ready
            and not (length and int(length) > self._service.limits.max_body_bytes)
        ):
            # The same head on the same connection as before: what was found then holds.
            exchange.head = known
            exchange.keep_alive = known.keep_alive
        else:
            self._read_head(exchange, length)
        if self._late == "headers":
            self._deadline, self._late = monotonic() + limits.BODY_SECONDS, "body"

    def _read_head(self, exchange: Exchange, length: bytes) -> None:
        exchange.head = head = Head(self._url, self._headers)
        head.method = self._parser.get_method()
        head.http_1_0 = self._parser.get_http_version() == "1.0"
        head.keep_alive = exchange.keep_alive = self._parser.should_keep_alive()
        refusal = self._judge(head, length)
        if refusal is not None:
            self._refuse(exchange, *refusal)
        elif self._exchange is None and not self._ready and self._admit(exchange):
            if b"expect" not in head.headers:
                self._known = head
            elif not head.http_1_0:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _admit(self, exchange: Exchange) -> bool:
        """Have the head judged before the body is read; what is answered now ends the connection."""
        exchange.keep_alive = False
        if self._service.admit(exchange):
            exchange.keep_alive = exchange.head.keep_alive
            return True
        self._refused(exchange)
        return False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        exchange = self._current
        if exchange is None or exchange.answered:
            return
        if self._body_bytes > self._service.limits.max_body_bytes:
            self._too_large(exchange)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        self._reading = False
        exchange, self._current = self._current, None
        if exchange is None or exchange.answered:
            return
        pieces = self._body
        exchange.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._body = []
        if len(self._ready) < limits.PIPELINE_REQUESTS:
            self._ready.append(exchange)
        else:
            self._closing = True  # served are those before it; the client sees where it ends

    # -- reading -----------------------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # Nothing here is upgraded; the request is answered as it is, what follows is another protocol.
            self._closing = True
        except httptools.HttpParserCallbackError as error:
            log.exception("a request could not be read")
            self._bad(500, "internal_error", "the router failed; its log says why", error)
        except httptools.HttpParserError as error:
            self._bad(400, "invalid_request", f"not a well-formed HTTP/1.1 request: {error}", error)
        if self._reading and not self._head_done:
            self._head_bytes += len(data)
            self._bound_head()
        if self._ready and self._exchange is None:
            self._serve(self._ready.popleft())

    def _bound_head(self) -> None:
        """A head that has not ended yet must not grow for ever."""
        most = self._service.limits
        if self._head_bytes > most.max_header_bytes or len(self._headers) > most.max_headers:
            self._refuse(Exchange(self, self._service.request_id()), 431, "headers_too_large", self._head_bounds())

    def _head_bounds(self) -> str:
        most = self._service.limits
        return f"headers exceed {most.max_header_bytes} bytes or {most.max_headers} fields"

    def _judge(self, head: Head, length: bytes) -> tuple[int, str, str] | None:
        """What is wrong with a head that parsed: status, code, message."""
        headers, most = head.headers, self._service.limits
        if self._repeated:
            return 400, "invalid_request", f"header {self._repeated.decode('latin-1')!r} is given twice"
        size = len(head.url) + sum(len(name) + len(value) + 4 for name, value in headers.items())
        if size > most.max_header_bytes or len(headers) > most.max_headers:
            return 431, "headers_too_large", self._head_bounds()
        if not head.url.startswith(b"/"):
            return 400, "invalid_request", "the request target must be a path"
        path, _, query = head.url.partition(b"?")
        head.path, head.query = path.decode("latin-1"), query.decode("latin-1")
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (head.http_1_0 or coding.lower() != b"chunked"):
            return 501, "invalid_request", "the only transfer coding that is read is chunked, in HTTP/1.1"
        if length and int(length) > most.max_body_bytes:
            return 413, "body_too_large", self._body_bound()
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            return 415, "unsupported_encoding", "compressed request bodies are not read; send it as it is"
        if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
            return 417, "invalid_request", "the only expectation that is met is 100-continue"
        return None

    def _body_bound(self) -> str:
        return f"the body exceeds {self._service.limits.max_body_bytes} bytes (limits.max_body_bytes)"

    def _too_large(self, exchange: Exchange) -> None:
        self._refuse(exchange, 413, "body_too_large", self._body_bound())

    # -- answering ---------------------------------------------------------------------------------------------------

    def _serve(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._deadline, self._late = 0.0, ""
        try:
            # A pipelined request has not been judged yet: its refusal would have overtaken another's answer.
            if exchange.head.route is not None or self._service.admit(exchange):
                self._service.handle(exchange)
        except Exception:
            log.exception("%s: failed inside the router", exchange.id)
            if exchange.started:
                self._transport.abort()
            else:
                self._service.refuse(exchange, 500, "internal_error", "the router failed; its log says why")

    def _bad(self, status: int, code: str, message: str, error: Exception) -> None:
        """The bytes cannot be read on: answer, unless others wait before it, and close."""
        exchange, self._current = self._current, None
        self._reading = False
        self._closing = True
        if self._exchange is None and not self._ready and self._lingering < 0:
            self._refuse(exchange or Exchange(self, self._service.request_id()), status, code, message)

    def _refuse(self, exchange: Exchange, status: int, code: str, message: str) -> None:
        if self._exchange is not None or self._ready:
            # Answers come in the order of the requests: this one is told by the end of the connection.
            self._closing = True
            exchange.answered = True
            self._current = None
            self._reading = False
            return
        exchange.keep_alive = False
        self._service.refuse(exchange, status, code, message)
        self._refused(exchange)

    def _refused(self, exchange: Exchange) -> None:
        """A request was answered before it was read to its end: nothing after it can be trusted to begin anew."""
        self._current = None
        self._reading = False
        if self._lingering < 0:
            self._linger()

    @property
    def closing(self) -> bool:
        """Whether this connection ends with the answer at hand."""
        return self._closing or self._service.draining

    def date(self) -> bytes:
        return self._service.date_line

    def finished(self, exchange: Exchange) -> None:
        if exchange is not self._exchange:
            # An early refusal. The rest of the request may be on its way.
            self._closing = True
            return
        self._exchange = None
        exchange.listener = None
        if not exchange.keep_alive or self._service.draining or (self._closing and not self._ready):
            self._transport.close()
            return
        self._deadline, self._late = monotonic() + limits.KEEP_ALIVE_SECONDS, ""
        if self._ready or self._held:
            self._loop.call_soon(self._continue)

    def _continue(self) -> None:
        """Take up what came while a request was in flight."""
        if self._exchange is not None or self._write_paused or self._transport.is_closing():
            return
        if self._ready:
            self._serve(self._ready.popleft())
            return
        data, self._held = bytes(self._held), bytearray()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if data:
            self._feed(data)

    def _linger(self) -> None:
        """Close, but let the client read the answer first: unread bytes would reset the connection under it."""
        self._lingering = 0
        self._deadline, self._late = monotonic() + limits.LINGER_SECONDS, "linger"
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    # -- time --------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """The router is going down: close unless a request is in flight."""
        if self._exchange is None and not self._ready and not self._reading:
            self._transport.close()

    def abandon(self) -> None:
        """Close whatever is under way."""
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Called ten times a second."""
        if self._write_paused and now - self._write_paused > limits.STALL_SECONDS:
            self._transport.abort()
        elif not self._deadline or now < self._deadline or self._exchange is not None:
            return
        elif self._late in ("headers", "body") and self._reading:
            exchange = self._current or Exchange(self, self._service.request_id())
            self._refuse(exchange, 408, "request_timeout", f"the request's {self._late} took too long")
        else:
            self._transport.abort()
