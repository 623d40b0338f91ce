"""An upstream that does as it is told: fakes the wire, faults and pauses included, not the code that reads it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

Behaviour = Callable[["Turn"], Awaitable[None]]

SSE = "content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"


class Turn:
    """One request that arrived, and the means to answer it."""

    def __init__(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        self.body = body
        self.writer = writer
        # Set when whoever asked has closed the connection.
        self.closed = asyncio.Event()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def abort(self) -> None:
        """Close with a reset instead of an end."""
        self.writer.transport.abort()


class Upstream:
    """Listens on an ephemeral port; plays its behaviours in order and then the last one again and again."""

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._behaviours = list(behaviours)
        self.turns: list[Turn] = []
        # Connections over which anything was asked.
        self.connections = 0
        self._arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Upstream:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, ssl=self._tls, limit=32 * 1024 * 1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def turn(self, number: int = 1) -> Turn:
        """Wait for the `number`th request."""
        async with asyncio.timeout(5):
            while len(self.turns) < number:
                self._arrived.clear()
                await self._arrived.wait()
        return self.turns[number - 1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        asked = False
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                turn = Turn(head[:-4], b"", writer)
                if turn.line.startswith("GET "):
                    # The router looks after engines that count as local; that is not what is scripted here.
                    await turn.send(b"HTTP/1.0 404 Not Found\r\n\r\n")
                    return
                self.connections += not asked
                asked = True
                turn.body = await reader.readexactly(int(turn.headers.get("content-length", "0")))
                self.turns.append(turn)
                self._arrived.set()
                await self._play(turn, reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            if asked:
                turn.closed.set()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _play(self, turn: Turn, reader: asyncio.StreamReader) -> None:
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        playing = asyncio.ensure_future(behaviour(turn))
        gone = asyncio.ensure_future(_wait_for_end(reader))
        try:
            await asyncio.wait((playing, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done() and gone.result():
                turn.closed.set()
                await asyncio.sleep(0)
                raise ConnectionError
            await playing
        finally:
            playing.cancel()
            gone.cancel()


async def _wait_for_end(reader: asyncio.StreamReader) -> bool:
    """True once the other side has closed; looks without taking bytes of a next request."""
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.005)
    return True


# -- what an upstream may do -----------------------------------------------------------------------------------------


def answer(text: str = "hello", *, prompt: int = 5, output: int = 2) -> bytes:
    """A whole chat completion."""
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "upstream-name",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output},
        }
    ).encode()


def event(text: str | None = None, *, role: bool = False, finish: str | None = None) -> bytes:
    """One event of a stream."""
    delta: dict[str, str] = {"role": "assistant"} if role else {}
    if text is not None:
        delta["content"] = text
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}).encode()


USAGE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}\n\n'
DONE = b"data: [DONE]\n\n"


def whole(body: bytes | None = None, *, status: str = "200 OK", headers: str = "", after: float = 0.0) -> Behaviour:
    """Answer in one piece."""
    content = answer() if body is None else body

    async def play(turn: Turn) -> None:
        await asyncio.sleep(after)
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {len(content)}\r\n\r\n"
        await turn.send(head.encode() + content)

    return play


def error(status: str, message: str, *, headers: str = "", type: str = "error", code: str | None = None) -> Behaviour:
    """Answer with an error in OpenAI's envelope."""
    body = json.dumps({"error": {"message": message, "type": type, "code": code}}).encode()
    return whole(body, status=status, headers=headers)


def stream(*texts: str, first: float = 0.0, between: float = 0.0) -> Behaviour:
    """Stream an answer to its end."""

    async def play(turn: Turn) -> None:
        await asyncio.sleep(first)
        await turn.send(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode())
        await turn.chunk(event(role=True))
        for text in texts:
            await turn.chunk(event(text))
            await asyncio.sleep(between)
        await turn.chunk(event(finish="stop"))
        await turn.chunk(USAGE + DONE)
        await turn.send(b"0\r\n\r\n")

    return play


def cut(*frames: bytes, reset: bool = False) -> Behaviour:
    """Begin a stream and close in the middle."""

    async def play(turn: Turn) -> None:
        await turn.send(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode())
        for frame in frames:
            await turn.chunk(frame)
        await asyncio.sleep(0.02)
        if reset:
            turn.abort()
        else:
            turn.writer.close()
        raise ConnectionError

    return play


def silence(*frames: bytes) -> Behaviour:
    """Say this much, as a stream, and nothing more; without frames not even a status."""

    async def play(turn: Turn) -> None:
        if frames:
            await turn.send(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode())
            for frame in frames:
                await turn.chunk(frame)
        await turn.closed.wait()

    return play


def raw(data: bytes, *, close: bool = True) -> Behaviour:
    """Send bytes as they are."""

    async def play(turn: Turn) -> None:
        await turn.send(data)
        if close:
            turn.writer.close()
            raise ConnectionError

    return play


async def vanish(turn: Turn) -> None:
    """Close without a byte."""
    turn.writer.close()
    raise ConnectionError


async def flood(turn: Turn) -> None:
    """Stream as fast as the reader takes it, without end."""
    await turn.send(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode())
    frame = event("x" * 1000)
    while True:
        await turn.chunk(frame)
