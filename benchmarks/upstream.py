"""An upstream that costs next to nothing: a fixed chat completion, or streams whose chunks come at a fixed pace.

`python benchmarks/upstream.py PORT SPACING_SECONDS CHUNKS`
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

_USAGE = {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350}
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "word " * 150}, "finish_reason": "stop"}
_COMPLETION = json.dumps(
    {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [_CHOICE], "usage": _USAGE}
).encode()
WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_COMPLETION)
) + _COMPLETION
# For probes, which ask over a connection of their own.
MODELS = b'HTTP/1.0 200 OK\r\n\r\n{"object":"list","data":[{"id":"m"}]}'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def frame(data: bytes) -> bytes:
    """One event as one chunk."""
    event = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(event), event)


def _delta(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return json.dumps(body, separators=(",", ":")).encode()


CHUNK = frame(_delta({"content": " token"}))
STREAM_END = (
    frame(_delta({}, "stop"))
    + frame(json.dumps({"id": "c", "choices": [], "usage": _USAGE}).encode())
    + frame(b"[DONE]")
    + b"0\r\n\r\n"
)


class Pace:
    """One clock for all streams, so that it costs no timer per chunk."""

    def __init__(self, loop: asyncio.AbstractEventLoop, spacing: float, chunks: int) -> None:
        self._loop = loop
        self._spacing = spacing
        self._chunks = chunks
        self._streams: dict[Answerer, int] = {}
        loop.call_later(spacing, self._tick)

    def begin(self, answerer: Answerer) -> None:
        answerer.transport.write(STREAM_HEAD)
        self._streams[answerer] = self._chunks

    def end(self, answerer: Answerer) -> None:
        self._streams.pop(answerer, None)

    def _tick(self) -> None:
        self._loop.call_later(self._spacing, self._tick)
        for answerer, left in list(self._streams.items()):
            if left:
                answerer.transport.write(CHUNK)
                self._streams[answerer] = left - 1
            else:
                answerer.transport.write(STREAM_END)
                del self._streams[answerer]


class Answerer(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # always a TCP transport here

    def connection_lost(self, exc: Exception | None) -> None:
        self._pace.end(self)

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, end, body = self._held.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or 0)
        if len(body) < length:
            return
        self._held = body[length:]
        if head.startswith(b"GET "):
            self.transport.write(MODELS)
            self.transport.close()
        elif b'"stream":true' in body:
            self._pace.begin(self)
        else:
            self.transport.write(WHOLE)


async def main(port: int, spacing: float, chunks: int) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    pace = Pace(loop, spacing, chunks)
    server = await loop.create_server(lambda: Answerer(pace), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
