"""Stands between a client and the router, and keeps what the client sends."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_START_S = 10.0
_PIECE = 1 << 16


@dataclass(frozen=True)
class Sent:
    """One request as a client sent it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Recorder:
    """A relay: every request is kept and passed on as it is; the answer comes back as it comes."""

    def __init__(self, port: int) -> None:
        self.requests: list[Sent] = []
        self.port = 0
        self._upstream = port
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # A client that goes away ends here, as it would at the router.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._relay(reader, writer)
        self._tasks.discard(task)
        writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection: the router is told that it is the last."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await _body(reader, headers)
        self.requests.append(Sent(method, path, headers, body))
        passed = {name: value for name, value in headers.items() if name not in ("connection", "transfer-encoding")}
        # The router answers to its own name alone.
        passed |= {"host": f"127.0.0.1:{self._upstream}", "connection": "close"}
        passed |= {"content-length": str(len(body))} if body else {}
        upstream, to_upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            said = "".join(f"{name}: {value}\r\n" for name, value in passed.items())
            to_upstream.write(f"{method} {path} HTTP/1.1\r\n{said}\r\n".encode("latin-1") + body)
            while piece := await upstream.read(_PIECE):
                writer.write(piece)
                await writer.drain()
        finally:
            to_upstream.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    pieces = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        pieces.append((await reader.readexactly(size + 2))[:-2])
    await reader.readuntil(b"\r\n")
    return b"".join(pieces)


@contextmanager
def recording(port: int) -> Iterator[Recorder]:
    """A recorder in front of the router on this port, in a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="recorder")
    thread.start()
    recorder = Recorder(port)
    try:
        asyncio.run_coroutine_threadsafe(recorder.start(), loop).result(_START_S)
        yield recorder
    finally:
        asyncio.run_coroutine_threadsafe(recorder.stop(), loop).result(_START_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_START_S)
        loop.close()
