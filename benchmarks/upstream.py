"""An upstream that costs next to nothing: a fixed chat completion, or streams whose chunks come at a fixed pace.

A stream is OpenAI's, Anthropic's or Ollama's, by the path that it is asked at.

`python benchmarks/upstream.py PORT SPACING_SECONDS CHUNKS`
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, NamedTuple

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


def event(data: bytes) -> bytes:
    """One event of a stream."""
    return b"data: %b\n\n" % data


def frame(data: bytes) -> bytes:
    """One event as one chunk."""
    framed = event(data)
    return b"%x\r\n%b\r\n" % (len(framed), framed)


def _delta(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return json.dumps(body, separators=(",", ":")).encode()


_TOKEN = _delta({"content": " token"})
EVENT, CHUNK = event(_TOKEN), frame(_TOKEN)
STREAM_END = (
    frame(_delta({}, "stop"))
    + frame(json.dumps({"id": "c", "choices": [], "usage": _USAGE}).encode())
    + frame(b"[DONE]")
    + b"0\r\n\r\n"
)


class Stream(NamedTuple):
    """What is sent at once, again and again, and at last."""

    head: bytes
    chunk: bytes
    end: bytes


def _part(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _named(data: dict[str, Any]) -> bytes:
    return _part(b"event: %b\ndata: %b\n\n" % (data["type"].encode(), json.dumps(data, separators=(",", ":")).encode()))


def _line(**fields: Any) -> bytes:
    return _part(json.dumps({"model": "m", "created_at": "2026-11-29T10:00:00Z", **fields}).encode() + b"\n")


_LINES = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
_COUNTED = {"input_tokens": 200, "output_tokens": 150}
_MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": _COUNTED}
STREAMS = {
    b"/v1/chat/completions": Stream(STREAM_HEAD, CHUNK, STREAM_END),
    b"/v1/messages": Stream(
        STREAM_HEAD
        + _named({"type": "message_start", "message": _MESSAGE})
        + _named({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        _named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " token"}}),
        _named({"type": "content_block_stop", "index": 0})
        + _named({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": _COUNTED})
        + _named({"type": "message_stop"})
        + b"0\r\n\r\n",
    ),
    b"/api/chat": Stream(
        _LINES,
        _line(message={"role": "assistant", "content": " token"}, done=False),
        _line(message={"role": "assistant", "content": ""}, done=True, done_reason="stop", prompt_eval_count=200,
              eval_count=150) + b"0\r\n\r\n",
    ),
}  # fmt: skip


class Pace:
    """One clock for all streams, so that it costs no timer per chunk."""

    def __init__(self, loop: asyncio.AbstractEventLoop, spacing: float, chunks: int) -> None:
        self._loop = loop
        self._spacing = spacing
        self._chunks = chunks
        self._streams: dict[Answerer, tuple[Stream, int]] = {}
        loop.call_later(spacing, self._tick)

    def begin(self, answerer: Answerer, stream: Stream) -> None:
        answerer.transport.write(stream.head)
        self._streams[answerer] = stream, self._chunks

    def end(self, answerer: Answerer) -> None:
        self._streams.pop(answerer, None)

    def _tick(self) -> None:
        self._loop.call_later(self._spacing, self._tick)
        for answerer, (stream, left) in list(self._streams.items()):
            if left:
                answerer.transport.write(stream.chunk)
                self._streams[answerer] = stream, left - 1
            else:
                answerer.transport.write(stream.end)
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
            self._pace.begin(self, STREAMS[head.split(b" ", 2)[1].partition(b"?")[0]])
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
