"""A load generator: so many connections, each with the next request as soon as the last one is answered.

`python benchmarks/load.py PORT CONNECTIONS SECONDS KEY [--stream] [--kind KIND] [--rate RATE]` prints a JSON line of
counts and latencies. KIND is a surface and a target that is asked by it, as in `KINDS`. With a RATE requests come by
the clock, so many a second, whether or not the last ones are answered; those that find no free connection wait, and
their wait counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import deque
from collections.abc import Sequence
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


def request(
    port: int,
    key: str,
    stream: bool,
    kind: str = "chat",
    prefix: str = "",
    named: str = "",
    headers: Sequence[str] = (),
) -> bytes:
    """The bytes that an SDK would send, roughly.

    `prefix` comes before the path, `named` before the model's name; `headers` are sent besides.
    """
    path, model, asked = KINDS[kind]
    fields = {"model": named + model, **asked}
    body = json.dumps({**fields, "stream": True} if stream else fields, separators=(",", ":")).encode()
    besides = "".join(f"{header}\r\n" for header in headers)
    return (
        f"POST {prefix}{path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n{besides}"
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


class Pace:
    """Requests by the clock: which connections are free, and since when requests wait for one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, rate: float) -> None:
        self._loop = loop
        self._rate = rate
        self._begun = loop.time()
        self._sent = 0
        self._free: deque[Asker] = deque()
        self._waiting: deque[float] = deque()
        self._tick()

    def _tick(self) -> None:
        # Timers of the loop know milliseconds: what is due within one is sent together.
        self._loop.call_later(0.001, self._tick)
        due = int((self._loop.time() - self._begun) * self._rate)
        now = monotonic()
        for _ in range(due - self._sent):
            if self._free:
                self._free.popleft().ask(now)
            else:
                self._waiting.append(now)
        self._sent = due

    def free(self, asker: Asker) -> None:
        """A connection has its answer."""
        if self._waiting:
            asker.ask(self._waiting.popleft())
        else:
            self._free.append(asker)


class Asker(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, data: bytes, stream: bool, counts: Counts, pace: Pace | None = None) -> None:
        self._request, self._stream, self._counts, self._pace = data, stream, counts, pace
        self._left = 0
        self._sent = 0.0
        self._fresh = True
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # always a TCP transport here
        self._next()

    def _next(self) -> None:
        if self._pace is None:
            self.ask(monotonic())
        else:
            self._pace.free(self)

    def ask(self, due: float) -> None:
        """Send a request that was due then (monotonic)."""
        self._fresh, self._left, self._tail = True, 0, b""
        self._sent = due
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
            self._next()


def options() -> argparse.Namespace:
    """What is asked, and how."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("key")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--kind", default="chat", choices=KINDS)
    parser.add_argument("--rate", type=float, help="requests a second; else as many as are answered")
    parser.add_argument("--prefix", default="", help="before the path")
    parser.add_argument("--named", default="", help="before the model's name")
    parser.add_argument("--header", action="append", default=[], help="a line that is sent besides")
    return parser.parse_args()


async def main(given: argparse.Namespace) -> None:
    """Ask for so long, then print what was counted."""
    loop = asyncio.get_running_loop()
    counts = Counts()
    pace = Pace(loop, given.rate) if given.rate else None
    data = request(given.port, given.key, given.stream, given.kind, given.prefix, given.named, given.header)
    for _ in range(given.connections):
        await loop.create_connection(lambda: Asker(data, given.stream, counts, pace), "127.0.0.1", given.port)
    started = monotonic()
    await asyncio.sleep(given.seconds)
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
    uvloop.run(main(options()))
