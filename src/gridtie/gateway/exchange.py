"""One request of a client, and the answer on its way back."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gridtie.gateway.claims import Claims
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


class Line(Protocol):
    """The connection, as an exchange sees it."""

    @property
    def closing(self) -> bool:
        """Whether this connection is to end with the exchange."""
        ...

    def date(self) -> bytes:
        """The Date header line."""
        ...

    @property
    def write(self) -> Callable[[bytes], None]:
        """Sends bytes."""
        ...

    def finished(self, exchange: Exchange) -> None:
        """The answer is written."""
        ...


class Head:
    """A request's head and what was found out about it. A client that repeats itself on a connection shares one."""

    def __init__(self, url: bytes = b"", headers: dict[bytes, bytes] | None = None) -> None:
        self.url = url
        # Names in lower case, a repeated one joined by a comma; without content-length.
        self.headers = headers or {}
        self.method = b""
        self.path = ""
        self.query = ""
        # What follows the route's path, for routes that end in a slash.
        self.rest = ""
        self.http_1_0 = False
        self.keep_alive = False
        # Set where the head was admitted; `claims` once they were asked for.
        self.route: Route | None = None
        self.key: Key | None = None
        self.claims: Claims | None = None
        # The configuration by which all this was found out; a request keeps it to its end. Set where it was admitted.
        self.loaded: Loaded


_UNREAD = Head()


class Exchange:
    """A request as it was read; `respond`, or `begin`, `write`... and `end` answer it, once.

    After the client has gone all of these do nothing.
    """

    # On the class, so that a request pays only for what it sets.
    head = _UNREAD
    body = b""
    keep_alive = True
    answered = False
    # Whether a status has been written that cannot be taken back.
    started = False
    listener: Listener | None = None
    _chunked = False

    def __init__(self, line: Line, id: str) -> None:
        self._line: Line | None = line
        self.id = id

    def header(self, name: bytes) -> str:
        """A request header as text, "" where it is missing."""
        return self.head.headers.get(name, b"").decode("latin-1").strip()

    def respond(self, status: int, fields: bytes, body: bytes = b"") -> None:
        """Answer whole. `fields` are complete header lines."""
        line = self._line
        if line is None or self.answered:
            return
        self.started = self.answered = True
        head = b"%b%b%bcontent-length: %d\r\n%b" % (
            _STATUS_LINES[status],
            line.date(),
            fields,
            len(body),
            self._connection(line),
        )
        line.write(head if self.head.method == b"HEAD" else head + body)
        line.finished(self)

    def begin(self, status: int, fields: bytes, data: bytes = b"") -> None:
        """Begin an answer of unknown length, with its first bytes."""
        line = self._line
        if line is None:
            return
        self.started = True
        # HTTP/1.0 knows no chunks: there the end of the connection ends the answer.
        self._chunked = not self.head.http_1_0
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        if self.head.http_1_0:
            self.keep_alive = False
        head = b"%b%b%b%b%b" % (_STATUS_LINES[status], line.date(), fields, framing, self._connection(line))
        line.write(head + self._framed(data) if data else head)

    def write(self, data: bytes) -> None:
        """The next bytes of an answer that has begun."""
        if self._line is not None and data:
            self._line.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self, data: bytes = b"") -> None:
        """The last bytes of an answer that has begun."""
        line = self._line
        if line is None or self.answered:
            return
        self.answered = True
        last = self._framed(data) if data else b""
        line.write(last + b"0\r\n\r\n" if self._chunked else last)
        line.finished(self)

    def gone(self) -> None:
        """The client's connection is closed; called by the connection."""
        self._line = None
        listener, self.listener = self.listener, None
        if listener is not None and not self.answered:
            listener.cancel()

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _connection(self, line: Line) -> bytes:
        if line.closing:
            self.keep_alive = False
        if self.head.http_1_0 and self.keep_alive:
            return b"connection: keep-alive\r\n\r\n"
        return _ENDS[self.keep_alive]
