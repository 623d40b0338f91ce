"""One HTTP/1.1 connection to an upstream: a request is written, its answer is handed on as it comes.

Whatever a receiver raises ends its request: it is told so, once, and nobody waits for an answer that cannot be read.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Protocol, cast

import httptools

from gridtie.upstream.errors import Broken

log = logging.getLogger(__name__)

# Bounds on an answer's head. nginx and Go's net/http stop at 32 KiB and 1 MiB; cloud providers send 2-4 KiB.
MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 200

# A body this small goes out in one write with its head: one copy is cheaper than a second buffer.
_JOIN_BYTES = 64 * 1024


class Receiver(Protocol):
    """Who the answer is for. Calls come in this order: one head, bodies, and a last body or an error."""

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """Status and headers (names in lower case; repeated ones joined by a comma)."""
        ...

    def on_body(self, data: bytes, last: bool) -> None:
        """The next bytes of the body. With `last` the connection has already been given back or closed."""
        ...

    def on_error(self, error: Broken) -> None:
        """It broke before the answer was whole; the connection is closed.

        With `error.internal` it is what the receiver itself raised that broke it, if need be in the last body.
        """
        ...


class Owner(Protocol):
    """The pool, as a connection sees it."""

    def idle(self, connection: Connection) -> None:
        """The connection is free for the next request."""
        ...

    def gone(self, connection: Connection) -> None:
        """The connection is closed."""
        ...


class Connection(asyncio.Protocol):
    """Serves one request at a time. Belongs to whoever took it until the last body, an error or `abort`."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport  # from connection_made on
        self._connected = False
        self._receiver: Receiver | None = None
        # Requests answered so far: above 0 the connection may be stale.
        self.served = 0
        self.idle_since = 0.0
        # Pieces of the body out of one read. The parser appends to the list itself: one call less for each of them.
        self._body: list[bytes] = []
        self.on_body = self._body.append
        self._parser = httptools.HttpResponseParser(self)
        self._reset()

    def _reset(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = 0
        # When the first byte of an answer came whose head has not ended (monotonic); 0: none has, or it has ended.
        self.head_begun = 0.0
        self._head_seen = False
        self._head_handed_on = False
        self._chunked_or_sized = False
        self._complete = False
        # Bytes since the last ones of a body.
        self._framing = 0
        self._body.clear()

    @property
    def usable(self) -> bool:
        """Whether a request can be sent: open, and nobody's."""
        return self._receiver is None and self._connected and not self._transport.is_closing()

    def send(self, head: bytes, body: bytes, receiver: Receiver) -> None:
        """Write a request (`head` complete with its blank line); `receiver` gets the answer."""
        self._reset()
        self._receiver = receiver
        if len(body) <= _JOIN_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    def pause(self) -> None:
        """Read no further for now: the client takes no more."""
        if self._connected and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._connected and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once, whatever is under way; the receiver hears nothing more. Idempotent."""
        self._receiver = None
        if self._connected:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connected = True

    def data_received(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            # Nobody asked. Anything that is sent now would be taken for the answer to the next request.
            self.abort()
            return
        try:
            if not self._head_seen:
                self._head_bytes += len(data)
                self.head_begun = self.head_begun or monotonic()
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserCallbackError:
                raise  # ours
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
                if not self._complete:
                    self._break(_unreadable(error))
                    return
                self._keep = False  # what follows a whole answer changes nothing about it
            if not self._head_handed_on and not self._hand_on_head(receiver):
                return
            pieces = self._body
            if self._complete:
                body = b"".join(pieces[: self._pieces])
                self._release()
                receiver.on_body(body, True)
            elif pieces:
                body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                pieces.clear()
                self._framing = 0
                receiver.on_body(body, False)
            elif self._head_seen:
                # The parser keeps a trailer until it ends.
                self._framing += len(data)
                if self._framing > MAX_HEAD_BYTES:
                    self._break(f"upstream's trailers or chunk extensions exceed {MAX_HEAD_BYTES} bytes")
        except Exception:
            self._failed(receiver)

    def connection_lost(self, exc: Exception | None) -> None:
        receiver, self._receiver = self._receiver, None
        self._connected = False
        self._owner.gone(self)
        if receiver is None:
            return
        try:
            if exc is None and self._head_seen and not self._chunked_or_sized:
                receiver.on_body(b"", True)  # a body that the end of the connection ends
                return
        except Exception:
            self._failed(receiver)
            return
        reason = str(exc) if exc is not None else "closed"
        self._tell(receiver, Broken(f"connection to upstream lost ({reason})", unanswered=not self._head_bytes))

    # httptools

    def on_message_begin(self) -> None:
        if self._complete:
            # A second answer to one request: whatever follows would be taken for the answer to the next one.
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_seen:
            return  # trailers say nothing we use
        name = name.lower()
        headers = self._headers
        if name == b"content-length" or name == b"transfer-encoding":
            self._chunked_or_sized = True
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        if self._complete:
            return  # of a second answer to one request
        self._status = self._parser.get_status_code()
        # 1xx come before the answer; what is below is no status at all, and nothing comes after it.
        self._head_seen = self._status >= 200 or self._status < 100

    def on_message_complete(self) -> None:
        if 100 <= self._status < 200:
            # 100 Continue and 103 Early Hints come before the answer.
            self._headers = {}
            self._chunked_or_sized = False
            return
        if self._complete:
            return  # a second answer to one request
        self._complete = True
        # What the parser appends after this belongs to an answer that nobody asked for.
        self._pieces = len(self._body)
        self._keep = self._parser.should_keep_alive()

    # ours

    def _hand_on_head(self, receiver: Receiver) -> bool:
        """Whether the head is there, and whoever gets it wants the rest."""
        if len(self._headers) > MAX_HEADERS or (self._head_bytes > MAX_HEAD_BYTES and not self._head_seen):
            self._break(f"upstream's headers exceed {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} fields")
        elif self._head_seen:
            self._head_handed_on = True
            self.head_begun = 0.0
            receiver.on_head(self._status, self._headers)
        return self._head_handed_on and self._receiver is receiver

    def _release(self) -> None:
        self._receiver = None
        self.served += 1
        if self._keep and not self._transport.is_closing():
            self.idle_since = monotonic()
            self._owner.idle(self)
        else:
            self._transport.abort()

    def _break(self, message: str) -> None:
        receiver = self._receiver
        self.abort()
        if receiver is not None:
            self._tell(receiver, Broken(message))

    def _failed(self, receiver: Receiver) -> None:
        """The receiver raised: this answer ends here. After the last body the connection may be another's already."""
        log.exception("an answer from upstream could not be handled")
        if self._receiver is receiver or self._receiver is None:
            self.abort()
        self._tell(receiver, Broken("the router failed on the answer; its log says why", internal=True))

    def _tell(self, receiver: Receiver, error: Broken) -> None:
        try:
            receiver.on_error(error)
        except Exception:
            log.exception("and the end of it could not be handled either: %s", error)


def _unreadable(error: Exception) -> str:
    if isinstance(error, httptools.HttpParserUpgrade):
        return "upstream switched protocols, which nobody asked for"
    return f"upstream does not speak HTTP/1.1: {error}"
