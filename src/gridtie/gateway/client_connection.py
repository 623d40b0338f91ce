"""HTTP/1.1 from clients, one request in flight per connection.

What is not plainly one well-formed message is refused and the connection closed: where two readers of the
same bytes could disagree on where a request ends, someone could smuggle one.

Everything that the event loop calls comes in through `guarded`, and a request in flight has a deadline: whatever
goes wrong in the router, the client gets an answer or the end of its connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import wraps
from time import monotonic
from typing import TypeVarTuple, cast

import httptools

from gridtie.gateway import limits
from gridtie.gateway.backlog import Pipelined, Unsent
from gridtie.gateway.claims import means_us
from gridtie.gateway.exchange import Exchange, Head
from gridtie.gateway.linger import CHUNKED, Linger
from gridtie.gateway.repeated_head import RepeatedHead
from gridtie.gateway.request_head import SINGLE, body_too_large, framing_too_large, head_too_large, judge
from gridtie.gateway.service import Service
from gridtie.routing.held_bytes import Holding

log = logging.getLogger(__name__)

_FAILED = "the router failed; its log says why"
_NO_END = "the router did not come to an end; its log says why"

Given = TypeVarTuple("Given")


def guarded(
    callback: Callable[[ClientConnection, *Given], None],
) -> Callable[[ClientConnection, *Given], None]:
    """An entrance for the event loop: what is raised behind it ends in the log and in an answer, not in silence."""

    @wraps(callback)
    def entrance(self: ClientConnection, *given: *Given) -> None:
        try:
            callback(self, *given)
        except Exception:
            self._failed(callback.__name__)

    return entrance


class ClientConnection(asyncio.Protocol):
    """One client connection."""

    # More attributes than instances share the keys of (30 in CPython): slots are smaller then, and faster.
    __slots__ = (
        "_announced",
        "_begun",
        "_body",
        "_body_bytes",
        "_closing",
        "_counted",
        "_current",
        "_deadline",
        "_exchange",
        "_head_done",
        "_headers",
        "_known",
        "_late",
        "_linger",
        "_loop",
        "_parser",
        "_paused",
        "_pieces",
        "_pipelined",
        "_progress",
        "_reading",
        "_ready",
        "_repeated",
        "_repeated_head",
        "_service",
        "_synthetic",
        "_trailers",
        "_transport",
        "_unsent",
        "_upgrade",
        "_url",
        "_wire",
        "_write_paused",
        "write",
    )

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self._transport: asyncio.Transport  # from connection_made on
        self._parser = httptools.HttpRequestParser(self)
        # The last head that was admitted here.
        self._known: Head | None = None
        # The same by its bytes.
        self._repeated_head: RepeatedHead | None = None
        # The request being read, from the end of its head on; those read and not yet begun; the one in flight.
        self._reading = False
        self._current: Exchange | None = None
        self._ready: deque[Exchange] = deque()
        self._exchange: Exchange | None = None
        # Bytes of pipelined requests that are not parsed yet.
        self._pipelined = Pipelined()
        self._paused = False
        self._unsent = Unsent()
        self._write_paused = 0.0
        self._closing = False
        self._linger: Linger | None = None
        self._begun = monotonic()
        self._deadline, self._late = self._begun + limits.KEEP_ALIVE_SECONDS, ""
        # For a body that stands still: whose it is, its length when that changed last, and when that was.
        self._progress: tuple[Exchange | None, int, float] = (None, 0, 0.0)
        # A head of ours is in the parser, to have it read on; see `_read_on`.
        self._synthetic = False
        self._upgrade = False
        # Length of the body being read: as announced, and as it has come.
        self._announced = self._body_bytes = 0
        self._body: bytes | bytearray = b""

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    @guarded
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.write = self._transport.write
        # Writing goes on when all is sent: until then the transport may keep the whole of a large piece.
        self._transport.set_write_buffer_limits(high=limits.WRITE_HIGH_WATER, low=0)
        if not self._service.opened(self):
            exchange = Exchange(self, self._service.request_id())
            self._refuse(exchange, 503, "too_many_connections", "too many connections; come back later")

    def data_received(self, data: bytes) -> None:
        try:  # `guarded`, without the cost of another call
            if self._linger is not None:
                self._drop(len(data))
            elif self._exchange is not None or self._pipelined.data or self._ready or self._write_paused:
                # One at a time, and none before the last answer has been taken. Reading goes on a little, or the end
                # of the connection would go unnoticed.
                self._hold_back(data)
            elif (again := self._again(data)) is not None:
                self._serve(again)
            elif len(data) > limits.PARSE_BYTES:
                self._read_in_pieces(data)
            else:
                self._parse(data)
                if self._ready:
                    self._serve(self._ready.popleft())
        except Exception:
            self._failed("data_received")

    def eof_received(self) -> bool:
        # Half-closed counts as gone, as it does with nginx: nobody would notice otherwise that an abandoned
        # answer is still being generated.
        return False

    @guarded
    def connection_lost(self, exc: Exception | None) -> None:
        exchange, self._exchange = self._exchange, None
        # The parser and this object hold each other, and the collector of such garbage comes by rarely.
        del self._parser
        try:
            self._service.closed(self)
            self._forget_unserved()
            self._unsent.sent()
        finally:
            if exchange is not None:
                exchange.gone()

    @guarded
    def pause_writing(self) -> None:
        self._write_paused = monotonic()
        if not self._count_unsent():
            self._no_room()
        elif self._exchange is not None and self._exchange.listener is not None:
            self._exchange.listener.pause()

    @guarded
    def resume_writing(self) -> None:
        self._write_paused = 0.0
        self._unsent.sent()
        if self._exchange is not None and self._exchange.listener is not None:
            self._exchange.listener.resume()
        elif self._exchange is None:
            self._loop.call_soon(self._continue)

    # -- httptools ---------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._synthetic or self._closing:
            return
        self._reading = True
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        # Bytes of the request so far as they came, and its trailers.
        self._wire = self._trailers = 0
        self._announced = 0
        self._head_done = False
        self._repeated = b""
        if self._exchange is None:
            self._begun = monotonic()
            self._deadline, self._late = self._begun + self._service.limits.header_timeout, "headers"

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            self._trailers += 1  # nothing may be decided by what comes after the body
            if self._current is not None and means_us(name.decode("latin-1")):
                # By then it is too late to keep to it, and passing over it would be worse.
                self._refuse(
                    self._current, 400, "unknown_header", "x-gridtie-* found in a trailer; send it as a header"
                )
            return
        name = name.lower()
        headers = self._headers
        if name in headers:
            if name in SINGLE:
                self._repeated = name
            value = headers[name] + b", " + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        self._head_done = True
        if self._synthetic or not self._reading:
            return
        self._body = b""
        self._body_bytes = self._pieces = 0
        self._current = exchange = Exchange(self, self._service.request_id())
        headers, known = self._headers, self._known
        length = headers.pop(b"content-length", b"")
        self._announced = int(length) if length else CHUNKED if b"transfer-encoding" in headers else 0
        if (
            known is not None
            and headers == known.headers
            and self._url == known.url
            and self._parser.get_method() == known.method
            and self._service.loaded is known.loaded
            and self._exchange is None
            and not self._ready
            and self._announced <= self._service.limits.max_body_bytes
        ):
            # The same head on the same connection as before: what was found then holds.
            exchange.head = known
            exchange.keep_alive = known.keep_alive
            if self._announced > limits.UNCOUNTED_BYTES:
                self._room_for(exchange, self._announced)
        else:
            self._read_head(exchange)
        # The parser is about to say that it is at the end of the message, which it is not.
        self._upgrade = exchange.head.upgrade
        if self._late == "headers":
            self._deadline, self._late = self._begun + limits.BODY_SECONDS, "body"

    def on_body(self, body: bytes) -> None:
        if self._current is None:
            return  # refused
        # Most bodies come in one piece. Of more, one copy is kept, however small the pieces are.
        self._body_bytes += len(body)
        self._pieces += 1
        if self._pieces == 1:
            self._body = body
            return
        if self._pieces == 2:
            self._body = bytearray(self._body)
        self._body += body

    def on_message_complete(self) -> None:
        exchange = self._current
        if self._upgrade and exchange is not None:
            return
        # What follows in this piece belongs to another request.
        self._counted = 0
        self._reading = False
        if exchange is None or exchange.answered or (self._announced == CHUNKED and not self._body_fits(exchange)):
            return
        self._current = None
        exchange.body, self._body = self._body, b""
        self._ready.append(exchange)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _again(self, data: bytes) -> Exchange | None:
        """A whole request whose head is that of one before, but for its length: what was found then holds."""
        repeated = self._repeated_head
        if repeated is None or self._reading or self._closing or self._service.loaded is not repeated.head.loaded:
            return None
        body = repeated.body(data)
        if body is None or len(body) > min(limits.UNCOUNTED_BYTES, self._service.limits.max_body_bytes):
            return None
        exchange = Exchange(self, self._service.request_id())
        exchange.head, exchange.body = repeated.head, body
        exchange.keep_alive = repeated.head.keep_alive
        return exchange

    def _read_in_pieces(self, data: bytes | bytearray) -> None:
        """Parse until a request is whole; what comes behind it waits as it is."""
        view, size, at = memoryview(data), len(data), 0
        while at < size and not self._ready and not self._closing:
            missing = self._announced - self._body_bytes if self._current is not None else 0
            end = at + max(limits.PARSE_BYTES, missing)
            self._parse(view[at:end])
            at = end
        if self._linger is not None:
            self._drop(max(0, size - at))
        elif at < size:
            self._hold_back(view[at:])
        if self._ready:
            self._serve(self._ready.popleft())

    def _parse(self, piece: bytes | bytearray | memoryview) -> None:
        self._counted = len(piece)
        known, begins = self._known, not self._reading
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            end_of_head = upgrade.args[0]
            self._wire += end_of_head
            self._read_on(memoryview(piece)[end_of_head:])
            return
        except httptools.HttpParserCallbackError:
            raise  # ours
        except httptools.HttpParserError as error:
            self._malformed(error)
        if begins and self._known is not None and self._known is not known:
            self._repeated_head = RepeatedHead.of(self._known, bytes(piece))
        if self._reading:
            self._wire += self._counted
            self._bound()

    def _read_on(self, rest: memoryview) -> None:
        """Read the body of a request that asks for another protocol.

        Nothing here is upgraded, and such a request is answered as any other (RFC 9110, 7.8). The parser stops at its
        head; another one is told by a head of ours how the body is framed.
        """
        if self._current is None:
            return  # answered already
        self._parser = httptools.HttpRequestParser(self)
        framing = (
            b"transfer-encoding: chunked" if self._announced == CHUNKED else b"content-length: %d" % self._announced
        )
        self._upgrade, self._synthetic = False, True
        try:
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
        finally:
            self._synthetic = False
        self._trailers = 0
        if rest:
            self._parse(rest)

    def _bound(self) -> None:
        """What has not ended yet must not grow for ever."""
        most = self._service.limits
        if not self._head_done:
            if self._wire > most.max_header_bytes or len(self._headers) > most.max_headers:
                self._refuse(Exchange(self, self._service.request_id()), *head_too_large(most))
        elif self._announced == CHUNKED and self._current is not None:
            self._body_fits(self._current)

    def _body_fits(self, exchange: Exchange) -> bool:
        """Whether a body of unknown length, as far as it has come, may be held; it has been refused if not."""
        most = self._service.limits
        framing = self._wire - self._body_bytes
        # The head is among these bytes.
        if self._trailers > most.max_headers or framing > (
            2 * most.max_header_bytes + self._pieces * limits.CHUNK_FRAMING_BYTES
        ):
            self._refuse(exchange, *framing_too_large(most))
            return False
        if self._body_bytes > most.max_body_bytes:
            self._refuse(exchange, *body_too_large(most))
            return False
        steps = -(-self._body_bytes // limits.COUNTED_STEP_BYTES)
        counted = steps * limits.COUNTED_STEP_BYTES if steps > 1 else self._body_bytes
        return self._room_for(exchange, counted)

    def _room_for(self, exchange: Exchange, count: int) -> bool:
        """Count so many bytes of body as held; where they are too many the request has been refused."""
        if count <= limits.UNCOUNTED_BYTES or exchange.hold(self._service.held, self._owner(exchange), count):
            return True
        self._refuse(exchange, 503, "overloaded", self._overloaded(count))
        return False

    def _overloaded(self, count: int) -> str:
        return (
            f"no room for {count} bytes more: requests under way hold as much as they may "
            "(limits.held_bytes; one key has half of it); come back later, or send less"
        )

    def _owner(self, exchange: Exchange | None) -> str:
        """The name of the key whose bytes these are; a request that waits behind another counts as that one's."""
        for each in (exchange, self._exchange, *self._ready):
            if each is not None and each.head.key is not None:
                return each.head.key.name
        known = self._known
        return known.key.name if known is not None and known.key is not None else ""

    def _read_head(self, exchange: Exchange) -> None:
        exchange.head = head = Head(self._url, self._headers)
        head.method = self._parser.get_method()
        head.http_1_0 = self._parser.get_http_version() == "1.0"
        head.keep_alive = exchange.keep_alive = self._parser.should_keep_alive()
        head.upgrade = self._parser.should_upgrade()
        wrong = judge(head, self._announced, self._repeated, self._service.limits)
        if wrong is not None:
            self._refuse(exchange, *wrong)
        elif self._exchange is not None or self._ready:
            self._room_for(exchange, self._announced)  # it is judged when its turn comes
        elif self._admit(exchange) and self._room_for(exchange, self._announced):
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
        self._refused()
        return False

    # -- pipelining --------------------------------------------------------------------------------------------------

    def _hold_back(self, data: bytes | memoryview) -> None:
        """Keep what came before its turn, and stop reading where it is much."""
        if self._closing:
            return  # nothing more is served here
        if len(self._pipelined.data) + len(data) > limits.PIPELINE_BYTES and not self._paused:
            self._transport.pause_reading()
            self._paused = True
        if not self._pipelined.add(data, self._account):
            # Served are those before it; the client sees by the end of the connection which were not.
            self._closing = True

    @guarded
    def _continue(self) -> None:
        """Take up what came while a request was in flight."""
        if self._exchange is not None or self._write_paused or self._transport.is_closing():
            return
        if self._ready:
            self._serve(self._ready.popleft())
            return
        data = self._pipelined.take()
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if data and self._linger is None:
            self._read_in_pieces(data)

    # -- answering ---------------------------------------------------------------------------------------------------

    def _serve(self, exchange: Exchange) -> None:
        if exchange.refusal is not None:
            self._refuse(exchange, *exchange.refusal)
            return
        self._exchange = exchange
        self._deadline, self._late = monotonic() + self._service.patience, "answer"
        # A pipelined request has not been judged yet: its refusal would have overtaken another's answer.
        if exchange.head.route is not None or self._service.admit(exchange):
            self._service.handle(exchange)

    def _malformed(self, error: Exception) -> None:
        """The bytes cannot be read on."""
        if self._closing:
            return  # it has been refused
        message = f"not a well-formed HTTP/1.1 request: {error}"
        if "PRI" in str(error):
            message = "HTTP/2 found; this router speaks HTTP/1.1"
        exchange = self._current or Exchange(self, self._service.request_id())
        self._refuse(exchange, 400, "invalid_request", message)

    def _refuse(self, exchange: Exchange, status: int, code: str, message: str) -> None:
        """Answer a request that is not read to its end, and then end the connection."""
        self._stop_reading()
        exchange.keep_alive = False
        exchange.release()
        if self._exchange is not None or self._ready:
            # Answers come in the order of the requests.
            if not exchange.answered:
                exchange.refusal = (status, code, message)
                self._ready.append(exchange)
            return
        self._service.refuse(exchange, status, code, message)
        self._refused()

    def _refused(self) -> None:
        """A request was answered before it was read to its end: nothing after it can be trusted to begin anew.

        The end is told at once, and the rest of the request read; see `linger`.
        """
        self._stop_reading()
        if self._linger is None:
            self._linger = Linger(self._announced, monotonic())
            if not self._transport.is_closing() and self._transport.can_write_eof():
                self._transport.write_eof()

    def _stop_reading(self) -> None:
        """What is being read is no request any more, and what has come of its body is let go."""
        self._current = None
        self._reading = False
        self._closing = True
        self._body = b""

    def _drop(self, count: int) -> None:
        if self._linger is not None and not self._linger.drop(count, monotonic()):
            self._transport.abort()

    def _failed(self, where: str) -> None:
        """A fault of ours: once in the log, and an answer for the client, or the end of the connection."""
        exchange = self._exchange or self._current
        log.exception("%s: the router failed in %s", exchange.id if exchange is not None else "no request", where)
        try:
            self._give_up(exchange, _FAILED)
        except Exception:
            log.exception("that could not be told to the client either")
            self._transport.abort()

    def _give_up(self, exchange: Exchange | None, message: str) -> None:
        """End a request that the router is not able to serve."""
        self._closing = True
        if exchange is None or exchange.started:
            self._transport.abort()
        elif exchange is self._exchange:
            self._forget_unserved()
            exchange.keep_alive = False
            listener, exchange.listener = exchange.listener, None
            self._service.refuse(exchange, 500, "internal_error", message)
            if listener is not None:
                listener.cancel()
        else:
            self._refuse(exchange, 500, "internal_error", message)

    def _forget_unserved(self) -> None:
        """Nothing but the request in flight matters any more."""
        for unserved in (self._current, *self._ready):
            if unserved is not None:
                unserved.release()
        self._current = None
        self._body = b""
        self._ready.clear()
        self._pipelined.drop()

    @property
    def closing(self) -> bool:
        """Whether this connection ends with the answer at hand."""
        return (self._closing and not self._ready) or self._service.draining

    def write_large(self, *pieces: bytes) -> None:
        """Write pieces that count as held, whole, until their last byte is sent."""
        transport = self._transport
        self._unsent.largest = max(self._unsent.largest, *map(len, pieces))
        # Whatever the kernel does not take at once is told by `pause_writing`, be it one byte.
        transport.set_write_buffer_limits(high=0)
        transport.writelines(pieces)
        transport.set_write_buffer_limits(high=limits.WRITE_HIGH_WATER, low=0)
        if not self._write_paused:
            self._unsent.largest = 0
        elif not self._count_unsent():
            self._no_room()

    def date(self) -> bytes:
        return self._service.date_line

    def finished(self, exchange: Exchange) -> None:
        """The answer is written."""
        exchange.body = b""
        if exchange.holding is not None:
            exchange.holding.release()
        if exchange is not self._exchange:
            return  # an early refusal; the rest of the request may be on its way
        self._exchange = None
        exchange.listener = None
        if not exchange.keep_alive or self._service.draining or (self._closing and not self._ready):
            self._transport.close()
            return
        now = monotonic()
        if not self._reading:
            self._deadline, self._late = now + limits.KEEP_ALIVE_SECONDS, ""
        elif self._head_done:
            self._deadline, self._late = now + limits.BODY_SECONDS, "body"
        else:
            self._deadline, self._late = now + self._service.limits.header_timeout, "headers"
        if self._ready or self._pipelined.data:
            self._loop.call_soon(self._continue)

    def _count_unsent(self) -> bool:
        """Count what waits for the client; False where that is too much."""
        return self._unsent.grow(self._transport.get_write_buffer_size(), self._account)

    def _account(self) -> Holding:
        """For bytes of this connection that belong to no request."""
        return self._service.held.holding(self._owner(None))

    def _no_room(self) -> None:
        """Somebody has to go, and this client is not taking what it asked for."""
        if not self._transport.is_closing():
            log.warning("a client of %r is given up: no room for what it does not take", self._owner(None))
            self._transport.abort()

    # -- time --------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """The router is going down: close unless a request is in flight."""
        if self._exchange is None and not self._ready and not self._reading:
            self._transport.close()

    def abandon(self) -> None:
        """Close whatever is under way."""
        self._transport.abort()

    @guarded
    def sweep(self, now: float) -> None:
        """Called ten times a second."""
        if self._write_paused and now - self._write_paused > limits.STALL_SECONDS:
            self._transport.abort()
        elif self._linger is not None:
            if self._linger.over(now):
                self._transport.abort()
        elif self._exchange is not None:
            if now >= self._deadline:
                log.error("%s: no end after %g s; given up", self._exchange.id, self._service.patience)
                self._give_up(self._exchange, _NO_END)
        elif now >= self._deadline:
            if self._reading:
                self._too_slow(f"the request's {self._late} took too long")
            else:
                self._transport.abort()
        elif self._late == "body" and self._stalled(now):
            self._too_slow(f"no byte of the request's body came for {limits.BODY_STALL_SECONDS:g} s")

    def _stalled(self, now: float) -> bool:
        exchange, count, since = self._progress
        if self._current is not exchange or self._body_bytes != count:
            self._progress = (self._current, self._body_bytes, now)
            return False
        return self._current is not None and now - since > limits.BODY_STALL_SECONDS

    def _too_slow(self, message: str) -> None:
        exchange = self._current or Exchange(self, self._service.request_id())
        self._refuse(exchange, 408, "request_timeout", message)
