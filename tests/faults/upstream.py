"""An upstream that does wrong: a raw socket server which plays the fault that the model's name asks for.

A model is called `<fault>--<anything>`; `healthy--...` answers well. Whether to stream is told by the request, as a
real server goes by it, so that a router which asks for a stream gets one whatever its client wanted.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType

from faults.wire import WIRES, OpenAI, Wire

HEALTHY = "healthy"
OWN_WORDS = ("own ", "words ", "of the failing target")
HEALTHY_WORDS = "words of the healthy target"

# Longer than any clock of the routing file that is about silence.
SLOW_SECONDS = 4.5
# Often enough that a clock which goes by bytes never runs out.
OFTEN_SECONDS = 0.05

_CONTENT_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


def slug(name: str) -> str:
    """A fault's name as part of a model's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


class Gone(Exception):
    """The connection is over."""


class Turn:
    """One request, and the means to answer it badly."""

    def __init__(self, wire: Wire, streamed: bool, again: bool, writer: asyncio.StreamWriter) -> None:
        self.wire = wire
        self.streamed = streamed
        # Whether the same was asked before.
        self.again = again
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def head(self, status: str = "200 OK", *fields: str, type: str = "application/json") -> None:
        """Of a message whose end is told by its last chunk."""
        lines = [f"HTTP/1.1 {status}", f"content-type: {type}", "transfer-encoding: chunked", *fields, "", ""]
        await self.send("\r\n".join(lines).encode())

    async def chunk(self, data: bytes) -> None:
        if data:
            await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def last(self) -> None:
        await self.send(b"0\r\n\r\n")

    async def message(self, status: str, body: bytes, *fields: str, type: str = "application/json") -> None:
        """A whole message with its length."""
        lines = [f"HTTP/1.1 {status}", f"content-type: {type}", f"content-length: {len(body)}", *fields, "", ""]
        await self.send("\r\n".join(lines).encode() + body)

    async def begin(self, words: int = 0) -> None:
        """A stream up to so many words."""
        await self.head(type=self.wire.stream_type)
        await self.chunk(self.wire.role())
        for word in OWN_WORDS[:words]:
            await self.chunk(self.wire.content(word))

    async def silence(self) -> None:
        await asyncio.sleep(3600)

    def close(self) -> None:
        """An orderly end (FIN)."""
        self._writer.close()
        raise Gone

    def reset(self) -> None:
        """An end with a reset (RST), whatever was sent before."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        raise Gone

    async def answer(self, usage: str = "counted") -> None:
        """As it should be."""
        text = "".join(OWN_WORDS)
        if not self.streamed:
            await self.message("200 OK", self.wire.whole(text, usage))
            return
        await self.begin(len(OWN_WORDS))
        await self.chunk(self.wire.finish(usage) + self.wire.end())
        await self.last()


Fault = Callable[[Turn], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


def fault(name: str) -> Callable[[Fault], Fault]:
    def register(play: Fault) -> Fault:
        FAULTS[name] = play
        return play

    return register


def refusal(status: str, kind: str, message: str, *fields: str) -> Fault:
    """An error answer in the dialect's own words."""

    async def play(turn: Turn) -> None:
        await turn.message(status, turn.wire.error(kind, message), *fields)

    return play


def refuses(name: str, *what: str) -> None:
    """A fault that is such an answer."""
    FAULTS[name] = refusal(*what)


refuses("429", "429 Too Many Requests", "rate_limit", "Rate limit reached", "retry-after: 1")
refuses("500", "500 Internal Server Error", "server", "The server had an error")
refuses("503", "503 Service Unavailable", "overloaded", "Overloaded, come back later")
refuses("404", "404 Not Found", "not_found", "The model `fault` does not exist")
refuses("401", "401 Unauthorized", "authentication", "Incorrect API key provided: sk-faul...key")
refuses("403", "403 Forbidden", "permission", "Your account may not use this model")
refuses(
    "context exceeded",
    "400 Bad Request",
    "context",
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9083 tokens.",
)
# Gateways and servers that have no status of their own for it, and words that no code goes with.
for status in ("413 Content Too Large", "422 Unprocessable Entity", "500 Internal Server Error"):
    refuses(f"context in a {status[:3]}", status, "server", "The prompt exceeds the available context size")
refuses("400", "400 Bad Request", "invalid", "temperature: 9 is greater than the maximum of 2")
refuses("422", "422 Unprocessable Entity", "invalid", "messages[0].role: 'robot' is not one of the roles")
refuses("moderation 403", "403 Forbidden", "policy", "Your request was flagged by the moderation")


def once(name: str, faulty: Fault) -> None:
    """A fault the first time, and a good answer after it."""

    async def play(turn: Turn) -> None:
        await (turn.answer() if turn.again else faulty(turn))

    FAULTS[name] = play


@fault("RST")
async def rst(turn: Turn) -> None:
    turn.reset()


@fault("FIN")
async def fin(turn: Turn) -> None:
    turn.close()


@fault("slow")
async def slow(turn: Turn) -> None:
    await asyncio.sleep(SLOW_SECONDS)
    await turn.answer()


@fault("role only")
async def role_only(turn: Turn) -> None:
    """And then nothing; whole: a message that says nothing and was not finished either."""
    if turn.streamed:
        await turn.begin()
        await turn.silence()
    bare = {"index": 0, "message": {"role": "assistant"}, "finish_reason": None}
    await turn.message("200 OK", json.dumps({"id": "c", "object": "chat.completion", "choices": [bare]}).encode())


@fault("cut before content")
async def cut_early(turn: Turn) -> None:
    if turn.streamed:
        await turn.begin()
    else:
        await turn.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n")
    turn.close()


for _name, _faulty in (
    ("429 once", FAULTS["429"]),
    ("503 once", refusal("503 Service Unavailable", "overloaded", "Overloaded, come back later", "retry-after: 1")),
    ("429 for an hour", refusal("429 Too Many Requests", "rate_limit", "Rate limit reached", "retry-after: 3600")),
    ("500 once", FAULTS["500"]),
    ("cut once", FAULTS["cut before content"]),
):
    once(f"{_name}, retried", _faulty)


async def _half(turn: Turn) -> None:
    """Half an answer."""
    if turn.streamed:
        await turn.begin(2)
        return
    body = turn.wire.whole("".join(OWN_WORDS))
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    await turn.send(head.encode() + body[: len(body) // 2])


@fault("cut")
async def cut(turn: Turn) -> None:
    await _half(turn)
    await asyncio.sleep(OFTEN_SECONDS)
    turn.close()


@fault("reset after content")
async def reset_after_content(turn: Turn) -> None:
    await _half(turn)
    await asyncio.sleep(OFTEN_SECONDS)
    turn.reset()


@fault("stall")
async def stall(turn: Turn) -> None:
    await _half(turn)
    await turn.silence()


@fault("pings only")
async def pings(turn: Turn) -> None:
    await turn.begin()
    while True:
        await turn.chunk(turn.wire.ping())
        await asyncio.sleep(OFTEN_SECONDS)


@fault("pings after content")
async def pings_after_content(turn: Turn) -> None:
    await turn.begin(2)
    while True:
        await turn.chunk(turn.wire.ping())
        await asyncio.sleep(OFTEN_SECONDS)


@fault("garbage")
async def garbage(turn: Turn) -> None:
    await turn.message("200 OK", turn.wire.garbage(), type=turn.wire.stream_type if turn.streamed else "text/plain")


@fault("garbage after content")
async def garbage_after_content(turn: Turn) -> None:
    await turn.begin(2)
    await turn.chunk(turn.wire.garbage())
    await turn.last()


@fault("not HTTP")
async def not_http(turn: Turn) -> None:
    await turn.send(b"SSH-2.0-OpenSSH_9.6\r\n\x00\x01\x02\xff\xfe\r\n\r\n")
    await turn.silence()


@fault("error in the stream")
async def error_in_the_stream(turn: Turn) -> None:
    """Status 200, and an error instead of content."""
    if not turn.streamed:
        await turn.message("200 OK", turn.wire.error("server", "The server had an error"))
        return
    await turn.head(type=turn.wire.stream_type)
    await turn.chunk(turn.wire.error_event())
    await turn.last()


@fault("error after content")
async def error_after_content(turn: Turn) -> None:
    if turn.streamed:
        await turn.begin(2)
        await turn.chunk(turn.wire.error_event())
        await turn.last()
        return
    # An answer beside an error that says something: it is not whole.
    failed = {"error": {"message": "The server had an error", "type": "server_error", "code": None}}
    await turn.message("200 OK", OpenAI().whole("".join(OWN_WORDS[:2]), **failed))


_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><form>password</form></body></html>\n"


@fault("HTML")
async def html(turn: Turn) -> None:
    await turn.message("200 OK", _PAGE, type="text/html; charset=utf-8")


@fault("HTML 502")
async def html_502(turn: Turn) -> None:
    await turn.message("502 Bad Gateway", _PAGE, type="text/html")


@fault("header of 1 MB")
async def large_header(turn: Turn) -> None:
    await turn.message("200 OK", turn.wire.whole("".join(OWN_WORDS)), f"x-large: {'x' * 1024 * 1024}")


@fault("10,000 headers")
async def many_headers(turn: Turn) -> None:
    await turn.message("200 OK", turn.wire.whole("".join(OWN_WORDS)), *(f"x-{n}: {n}" for n in range(10_000)))


@fault("one byte at a time")
async def byte_by_byte(turn: Turn) -> None:
    """Each byte a write of its own; a chunk of its own, too, in a stream."""
    wire = turn.wire
    if turn.streamed:
        await turn.head(type=wire.stream_type)
        said = wire.role() + b"".join(map(wire.content, OWN_WORDS)) + wire.finish() + wire.end()
        pieces = [b"1\r\n%c\r\n" % byte for byte in said] + [b"0\r\n\r\n"]
    else:
        body = wire.whole("".join(OWN_WORDS))
        pieces = [b"%c" % byte for byte in b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)]
    for piece in pieces:
        await turn.send(piece)
        await asyncio.sleep(0)


for _usage in ("none", "null", "empty", "odd"):

    def _answers(usage: str) -> Fault:
        async def play(turn: Turn) -> None:
            await turn.answer(usage)

        return play

    FAULTS["no usage" if _usage == "none" else f"{_usage} usage"] = _answers(_usage)


@fault("odd error field")
async def odd_error_field(turn: Turn) -> None:
    """`error` is there and says nothing: servers that fill every field of their type send that."""
    wire = OpenAI()
    if not turn.streamed:
        await turn.message("200 OK", wire.whole("".join(OWN_WORDS), error={}))
        return
    await turn.begin(len(OWN_WORDS))
    finish = wire.finish().replace(b'"choices": [{', b'"error": false, "choices": [{', 1)
    await turn.chunk(finish + wire.end())
    await turn.last()


@fault("endless")
async def endless(turn: Turn) -> None:
    """Content for ever; whole: a body that never ends."""
    if turn.streamed:
        await turn.begin()
    else:
        await turn.head()
        await turn.chunk(b'{"id":"c",')
    while True:
        await turn.chunk(turn.wire.content("and on ") if turn.streamed else b" " * 100)
        await asyncio.sleep(OFTEN_SECONDS)


@fault("larger than 16 MB")
async def large(turn: Turn) -> None:
    text = "x" * 65536
    if turn.streamed:
        await turn.begin()
        for _ in range(17 * 16):
            await turn.chunk(turn.wire.content(text))
        await turn.chunk(turn.wire.finish() + turn.wire.end())
    else:
        await turn.head()
        await turn.chunk(b'{"id":"')
        for _ in range(17 * 16):
            await turn.chunk(text.encode())
        await turn.chunk(b'"}')
    await turn.last()


@fault("half a head")
async def half_a_head(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/ev")
    await turn.silence()


@fault("head only")
async def head_only(turn: Turn) -> None:
    await turn.head(type=turn.wire.stream_type)
    await turn.silence()


@fault("empty")
async def empty(turn: Turn) -> None:
    await turn.message("200 OK", b"", type=turn.wire.stream_type if turn.streamed else "application/json")


@fault("compressed")
async def compressed(turn: Turn) -> None:
    """Though identity was asked for."""
    body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + bytes(range(256))
    await turn.message("200 OK", body, "content-encoding: gzip")


@fault("surplus bytes")
async def surplus(turn: Turn) -> None:
    """A whole answer, and in the same breath another one that nobody asked for."""
    whole, wire = turn.wire.whole("of somebody else"), turn.wire
    surplus = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole) + whole
    if turn.streamed:
        await turn.begin(len(OWN_WORDS))
        end = wire.finish() + wire.end()
        await turn.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(end), end) + surplus)
    else:
        body = wire.whole("".join(OWN_WORDS))
        await turn.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body + surplus)


async def _finished_but_for_the_mark(turn: Turn) -> None:
    """The answer is whole as its protocol says, and its last frame is missing."""
    await turn.begin(len(OWN_WORDS))
    await turn.chunk(turn.wire.finish())
    await asyncio.sleep(OFTEN_SECONDS)


@fault("finished, then RST")
async def finished_then_reset(turn: Turn) -> None:
    await _finished_but_for_the_mark(turn)
    turn.reset()


@fault("finished, then FIN")
async def finished_then_closed(turn: Turn) -> None:
    await _finished_but_for_the_mark(turn)
    turn.close()


@fault("finished, then silence")
async def finished_then_silence(turn: Turn) -> None:
    await turn.begin(len(OWN_WORDS))
    await turn.chunk(turn.wire.finish() + turn.wire.end())
    await turn.silence()


@fault("whole, asked to stream")
async def whole_instead(turn: Turn) -> None:
    await turn.message("200 OK", turn.wire.whole("".join(OWN_WORDS)))


@fault("streams, asked for a whole")
async def stream_instead(turn: Turn) -> None:
    turn.streamed = True
    await turn.answer()


# -- unusual statuses ------------------------------------------------------------------------------------------------


@fault("100, then the answer")
async def informed(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    await turn.answer()


@fault("199, then the answer")
async def informed_oddly(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 199 Miscellaneous\r\nx-progress: 1\r\n\r\n")
    await turn.answer()


@fault("199 alone")
async def only_informed(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 199 Miscellaneous\r\nx-progress: 1\r\n\r\n")
    await turn.silence()


@fault("101")
async def upgraded(turn: Turn) -> None:
    await turn.send(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nPRI * HTTP/2.0\r\n"
    )
    await turn.silence()


@fault("204")
async def no_content(turn: Turn) -> None:
    await turn.send(b"HTTP/1.1 204 No Content\r\n\r\n")


@fault("299")
async def unknown_success(turn: Turn) -> None:
    """A success by its class, with a good answer."""
    if turn.streamed:
        await turn.head("299 Fine", type=turn.wire.stream_type)
        said = turn.wire.role() + b"".join(map(turn.wire.content, OWN_WORDS)) + turn.wire.finish() + turn.wire.end()
        await turn.chunk(said)
        await turn.last()
    else:
        await turn.message("299 Fine", turn.wire.whole("".join(OWN_WORDS)))


for _status in (*range(300, 309), 420, 430, 444, 460, 498, 499, *range(520, 531), 599, 600, 999):
    _kind = "overloaded" if _status == 529 else "rate_limit" if _status in (420, 430) else "server"
    _fields = ("location: /elsewhere",) if _status < 400 else ()
    refuses(str(_status), f"{_status} Unusual", _kind, f"unusual status {_status}", *_fields)
refuses("099", "099 Unusual", "server", "unusual status 099")


@fault("304")
async def not_modified(turn: Turn) -> None:
    """Has no body, by the protocol."""
    await turn.send(b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n")


class Upstream:
    """Listens on a port of its own, for all three dialects."""

    def __init__(self) -> None:
        self.port = 0
        self._faults = {slug(name): play for name, play in FAULTS.items()}
        self._asked: set[str] = set()
        self._server: asyncio.Server
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1024 * 1024, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            while await self._turn(reader, writer):
                pass
        except (Gone, asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            if not writer.is_closing():
                writer.transport.abort()

    async def _turn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET "):
            # The router looks after engines that count as local; 404 says: there, and without a list.
            writer.write(b"HTTP/1.0 404 Not Found\r\n\r\n")
            writer.close()
            return False
        found = _CONTENT_LENGTH.search(head)
        asked = json.loads(await reader.readexactly(int(found[1]) if found else 0))
        path = head.split(b" ", 2)[1].decode()
        wire = next(wire for wire in WIRES if path.startswith(wire.path))
        # Ollama streams unless it is told not to.
        streamed = bool(asked.get("stream", wire.name == "ollama"))
        name = asked["model"].split("--")[0]
        turn = Turn(wire, streamed, asked["model"] in self._asked, writer)
        self._asked.add(asked["model"])
        if name == HEALTHY:
            await self._healthy(turn)
        else:
            await self._guarded(self._faults[name](turn), reader)
        return True

    async def _guarded(self, play: Awaitable[None], reader: asyncio.StreamReader) -> None:
        """Play until it is over or nobody listens any more."""
        playing = asyncio.ensure_future(play)
        try:
            while not playing.done():
                await asyncio.wait((playing,), timeout=0.1)
                if reader.at_eof() or reader.exception() is not None:
                    raise Gone
            await playing
        finally:
            playing.cancel()

    @staticmethod
    async def _healthy(turn: Turn) -> None:
        if not turn.streamed:
            await turn.message("200 OK", turn.wire.whole(HEALTHY_WORDS))
            return
        await turn.head(type=turn.wire.stream_type)
        said = turn.wire.role() + turn.wire.content(HEALTHY_WORDS) + turn.wire.finish() + turn.wire.end()
        await turn.chunk(said)
        await turn.last()
