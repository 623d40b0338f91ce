"""A load generator: so many connections, each with the next request as soon as the last one is answered.

`python benchmarks/load.py PORT CONNECTIONS SECONDS KEY [stream [KIND]]` prints a JSON line of counts and latencies.
KIND is a surface and a target that is asked by it, as in `KINDS`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic
from typing import Any

import uvloop

# About 1 KB, as the targets in the design say.
_TEXT = "Write a function that merges two sorted lists. " * 18
END = b"0\r\n\r\n"


_MESSAGES = {"messages": [{"role": "user", "content": _TEXT}], "temperature": 0.2}
# By name: path, model (which stands for a dialect of its target) and what is asked.
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", "coder", _MESSAGES),
    "messages, of OpenAI's": ("/v1/messages", "coder", _MESSAGES | {"max_tokens": 200}),
    "responses, of OpenAI's": ("/v1/responses", "coder", {"input": _TEXT, "temperature": 0.2}),
    "chat, of Anthropic's": ("/v1/chat/completions", "claude", _MESSAGES | {"max_tokens": 200}),
    "chat, of Ollama's": ("/v1/chat/completions", "llama", _MESSAGES),
}


def request(port: int, key: str, stream: bool, kind: str = "chat") -> bytes:
    """The bytes that an SDK would send, roughly."""
    path, model, asked = KINDS[kind]
    fields = {"model": model, **asked}
    body = json.dumps({**fields, "stream": True} if stream else fields, separators=(",", ":")).encode()
    return (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        "accept: application/json\r\ncontent-type: application/json\r\nuser-agent: bench/1.0\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


class Counts:
    """What all connections saw."""

    def __init__(self) -> None:
        self.requests = self.chunks = self.errors = 0
        self.latencies: list[float] = []
        self.stopped = False
        self.last_error = ""


class Asker(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, data: bytes, stream: bool, counts: Counts) -> None:
        self._request, self._stream, self._counts = data, stream, counts
        self._left = 0
        self._sent = 0.0
        self._fresh = True
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # always a TCP transport here
        self._ask()

    def _ask(self) -> None:
        self._fresh, self._left, self._tail = True, 0, b""
        self._sent = monotonic()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        counts = self._counts
        if self._fresh:
            self._fresh = False
            if not data.startswith(b"HTTP/1.1 200"):
                counts.errors += 1
                counts.last_error = data[:600].decode("latin-1")
                self.transport.close()
                return
            if not self._stream:
                head, _, body = data.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                self._left = length - len(body)
        elif not self._stream:
            self._left -= len(data)
        if self._stream:
            counts.chunks += data.count(b"data: ")
            self._tail = (self._tail + data)[-len(END) :]
            if self._tail != END:
                return
        elif self._left > 0:
            return
        counts.requests += 1
        counts.latencies.append(monotonic() - self._sent)
        if counts.stopped:
            self.transport.close()
        else:
            self._ask()


async def main(port: int, connections: int, seconds: float, key: str, stream: bool, kind: str = "chat") -> None:
    """Ask for so long, then print what was counted."""
    loop = asyncio.get_running_loop()
    counts = Counts()
    data = request(port, key, stream, kind)
    for _ in range(connections):
        await loop.create_connection(lambda: Asker(data, stream, counts), "127.0.0.1", port)
    started = monotonic()
    await asyncio.sleep(seconds)
    counts.stopped = True
    took = monotonic() - started
    ordered = sorted(counts.latencies) or [0.0]
    told = {
        "seconds": took,
        "requests": counts.requests,
        "chunks": counts.chunks,
        "errors": counts.errors,
        "last_error": counts.last_error,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[len(ordered) * 99 // 100],
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    given = sys.argv[1:]
    uvloop.run(main(int(given[0]), int(given[1]), float(given[2]), given[3], "stream" in given, *given[5:6]))
