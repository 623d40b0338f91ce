"""What the upstreams of the cases answer, in the wire formats of the three dialects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from standins.scripted import DONE, SSE, USAGE, Behaviour, Turn, answer, event, stream, whole

NDJSON = "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n"
STAMP = "2026-11-29T10:00:00.123456789Z"


def openai(text: str = "hello", **options: Any) -> Behaviour:
    """A chat completion, streamed where that was asked."""

    async def play(turn: Turn) -> None:
        behaviour = stream(text) if turn.json.get("stream") else whole(answer(text, **options))
        await behaviour(turn)

    return play


def sse(
    *frames: bytes, between: float = 0.0, after: str = "close", mark: bytes = b"0\r\n\r\n", forever: bytes = b""
) -> Behaviour:
    """Send these frames as an event stream, and then what `after` says.

    `end`: the end of a chunked message; `close`: FIN in the middle; `reset`: RST; `stall`: nothing more;
    `repeat`: `forever` again and again, every `between` seconds.
    """

    async def play(turn: Turn) -> None:
        await turn.send(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode())
        for frame in frames:
            await turn.chunk(frame)
            if between:
                await asyncio.sleep(between)
        await ending(turn, after, mark, forever, between)

    return play


async def ending(
    turn: Turn, after: str, mark: bytes = b"0\r\n\r\n", forever: bytes = b"", between: float = 0.0
) -> None:
    """How an answer goes on after what was said."""
    if after == "repeat":
        while not turn.closed.is_set():
            await turn.chunk(forever)
            await asyncio.sleep(between)
        return
    if after == "stall":
        await turn.closed.wait()
        return
    if after == "end":
        await turn.send(mark)
        return
    await asyncio.sleep(0.05)  # what was sent is read before the connection breaks
    if after == "reset":
        turn.abort()
    else:
        turn.writer.close()
    raise ConnectionError


def ollama(
    text: str = "hello",
    *,
    calls: Sequence[dict[str, Any]] = (),
    counts: dict[str, Any] | None = None,
    pause: float = 0.0,
    after: str = "end",
) -> Behaviour:
    """An answer of /api/chat: one JSON object a line where it is streamed, else one object."""
    counted = {"prompt_eval_count": 7, "eval_count": 3} if counts is None else counts

    async def play(turn: Turn) -> None:
        model = turn.json["model"]
        about = {"model": model, "created_at": STAMP}
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if calls:
            message["tool_calls"] = list(calls)
        last = {**about, "done": True, "done_reason": "stop", **counted}
        if not turn.json.get("stream", True):
            if after != "end":
                await turn.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n{")
                await ending(turn, after)
            await whole(json.dumps({**last, "message": message}).encode())(turn)
            return
        await turn.send(f"HTTP/1.1 200 OK\r\n{NDJSON}\r\n".encode())
        await turn.chunk(json.dumps({**about, "message": message, "done": False}).encode() + b"\n")
        await asyncio.sleep(pause)
        if after != "end":
            await ending(turn, after)
        await turn.chunk(json.dumps({**last, "message": {"role": "assistant", "content": ""}}).encode() + b"\n")
        await turn.send(b"0\r\n\r\n")

    return play


def anthropic_event(kind: str, **fields: Any) -> bytes:
    """One event of Anthropic's stream."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def anthropic_frames(
    text: str = "hello", *, usage: dict[str, Any] | None = None, output: int = 2, stop: bool = True
) -> list[bytes]:
    """The events of an answer; without `stop` the last one is missing."""
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 5, "output_tokens": 1} if usage is None else usage,
    }
    frames = [
        anthropic_event("message_start", message=message),
        anthropic_event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        anthropic_event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}),
        anthropic_event("content_block_stop", index=0),
        anthropic_event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": output}),
    ]
    return [*frames, anthropic_event("message_stop")] if stop else frames


def anthropic(text: str = "hello", *, usage: dict[str, Any] | None = None, output: int = 2) -> Behaviour:
    """An answer of /v1/messages, streamed where that was asked."""

    async def play(turn: Turn) -> None:
        if turn.json.get("stream"):
            await sse(*anthropic_frames(text, usage=usage, output=output), after="end")(turn)
            return
        counted = {"input_tokens": 5, **(usage or {}), "output_tokens": output}
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [{"type": "text", "text": text}],
            "stop_reason": "end_turn",
            "usage": counted,
        }
        await whole(json.dumps(message).encode())(turn)

    return play


def completion(**changed: Any) -> bytes:
    """A whole chat completion with some of its fields changed."""
    return json.dumps({**json.loads(answer()), **changed}).encode()


async def bills_what_it_may(turn: Turn) -> None:
    """Answer in full length: as many tokens as the request allows, or 16,384 where it names no limit."""
    body = turn.json
    limit = max(body.get("max_tokens") or 0, body.get("max_completion_tokens") or 0) or 16384
    tokens = limit * body.get("n", 1)
    usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
    await whole(completion(usage=usage))(turn)


__all__ = ["DONE", "USAGE", "answer", "event", "stream", "whole"]
