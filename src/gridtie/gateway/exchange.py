"""One request of a client, and the answer on its way back."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from gridtie.gateway import limits
from gridtie.routing.held_bytes import HeldBytes, Holding

if TYPE_CHECKING:
    from gridtie.gateway.claims import Claims
    from gridtie.gateway.client_connection import ClientConnection
    from gridtie.gateway.keys import Key
    from gridtie.gateway.routes import Route
    from gridtie.gateway.settings import Loaded

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_ENDS = (b"connection: close\r\n\r\n", b"\r\n")


class Listener(Protocol):
    """Who must know how the client takes the answer."""

    def cancel(self) -> None:
        """The client has gone."""
        ...

    def pause(self) -> None:
        """The client takes no more for now."""
        ...

    def resume(self) -> None:
        """The client takes more."""
        ...


class Head:
    """A request's head and what was found out about it. A client that repeats itself on a connection shares one."""

    def __init__(self, url: bytes = b"", headers: dict[bytes, bytes] | None = None) -> None:
        self.url = url
        # Names in lower case, a repeated one joined by a comma; without content-length.
        self.headers = headers or {}
        self.method = b""
        # Whom the request is for: the authority of an absolute target, else Host.
        self.host = b""
        self.path = ""
        self.query = ""
        # What follows the route's path, for routes that end in a slash.
        self.rest = ""
        self.http_1_0 = False
        self.keep_alive = False
        # The parser takes what follows for another protocol; it is a body all the same.
        self.upgrade = False
        # Header lines by which a browser lets a page of a declared origin read the answer.
        self.cors = b""
        # Set where the head was admitted; `claims` once they were asked for.
        self.route: Route | None = None
        self.key: Key | None = None
        self.claims: Claims | None = None
        # The configuration by which all this was found out; a request keeps it to its end. Set where it was admitted.
        self.loaded: Loaded


_UNREAD = Head()


class Exchange:
    """A request as it was read; `respond`, or `begin`, `write`... and `end` answer it, once.

    After the client has gone, or the answer has ended, all of these do nothing.
    """

    # On the class, so that a request pays only for what it sets.
    head = _UNREAD
    body: bytes | bytearray = b""
    keep_alive = True
    answered = False
    # Whether a status has been written that cannot be taken back.
    started = False
    listener: Listener | None = None
    # Why it cannot be read or served: status, code and message, told when its turn comes.
    refusal: tuple[int, str, str] | None = None
    holding: Holding | None = None
    _chunked = False

    def __init__(self, connection: ClientConnection, id: str) -> None:
        self._connection: ClientConnection | None = connection
        self.id = id

    def header(self, name: bytes) -> str:
        """A request header as text, "" where it is missing."""
        return self.head.headers.get(name, b"").decode("latin-1").strip()

    def hold(self, held: HeldBytes, owner: str, count: int) -> bool:
        """Count `count` bytes of body against what clients make the router hold; False where that is too much."""
        if count <= limits.UNCOUNTED_BYTES:
            return True
        if self.holding is None:
            self.holding = held.holding(owner)
        return self.holding.take(count - self.holding.count)

    def release(self) -> None:
        """The request has ended, or will not be answered: nothing of it is held any longer. Idempotent."""
        self.body = b""
        if self.holding is not None:
            self.holding.release()

    def respond(self, status: int, fields: bytes, body: bytes = b"") -> None:
        """Answer whole. `fields` are complete header lines."""
        connection = self._connection
        if connection is None or self.answered:
            return
        self.started = self.answered = True
        head = b"%b%b%bcontent-length: %d\r\n%b" % (
            _STATUS_LINES.get(status) or _unregistered(status),
            connection.date(),
            fields,
            len(body),
            self._last_fields(connection),
        )
        if self.head.method == b"HEAD":
            connection.write(head)
        elif len(body) <= limits.COUNTED_WHOLE_BYTES:
            connection.write(head + body)
        else:
            connection.write_large(head, body)
        # What follows on this connection is another request's: nothing that comes late may get into its answer.
        self._connection = None
        connection.finished(self)

    def no_content(self, fields: bytes) -> None:
        """Answer 204, which has neither a body nor a length."""
        connection = self._connection
        if connection is None or self.answered:
            return
        self.started = self.answered = True
        last = self._last_fields(connection)
        connection.write(b"%b%b%b%b" % (_STATUS_LINES[204], connection.date(), fields, last))
        self._connection = None
        connection.finished(self)

    def begin(self, status: int, fields: bytes, data: bytes = b"") -> None:
        """Begin an answer of unknown length, with its first bytes."""
        connection = self._connection
        if connection is None:
            return
        self.started = True
        # HTTP/1.0 knows no chunks: there the end of the connection ends the answer.
        self._chunked = not self.head.http_1_0
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        if self.head.http_1_0:
            self.keep_alive = False
        date, last = connection.date(), self._last_fields(connection)
        line = _STATUS_LINES.get(status) or _unregistered(status)
        head = b"%b%b%b%b%b" % (line, date, fields, framing, last)
        _write(connection, head + self._framed(data) if data else head)

    def write(self, data: bytes) -> None:
        """The next bytes of an answer that has begun."""
        connection, size = self._connection, len(data)
        if connection is None or not size:
            return
        framed = b"%x\r\n%b\r\n" % (size, data) if self._chunked else data
        if size <= limits.COUNTED_WHOLE_BYTES:  # `_write`, without the cost of another call
            connection.write(framed)
        else:
            connection.write_large(framed)

    def end(self, data: bytes = b"") -> None:
        """The last bytes of an answer that has begun."""
        connection = self._connection
        if connection is None or self.answered:
            return
        self.answered = True
        last = self._framed(data) if data else b""
        _write(connection, last + b"0\r\n\r\n" if self._chunked else last)
        self._connection = None
        connection.finished(self)

    def gone(self) -> None:
        """The client's connection is closed, or the answer given up; called by the connection."""
        self._connection = None
        self.release()
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.cancel()

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _last_fields(self, connection: ClientConnection) -> bytes:
        """What the connection adds to the head of an answer, and the head's end."""
        if connection.closing:
            self.keep_alive = False
        if self.head.http_1_0 and self.keep_alive:
            return self.head.cors + b"connection: keep-alive\r\n\r\n"
        end = _ENDS[self.keep_alive]
        return self.head.cors + end if self.head.cors else end


def _write(connection: ClientConnection, data: bytes) -> None:
    if len(data) <= limits.COUNTED_WHOLE_BYTES:
        connection.write(data)
    else:
        connection.write_large(data)


def _unregistered(status: int) -> bytes:
    """The line of a status that nobody registered: a number of upstream's must not be able to break an answer."""
    return b"HTTP/1.1 %d Unknown\r\n" % status if 200 <= status < 600 else _STATUS_LINES[502]
