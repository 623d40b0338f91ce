"""Every surface as its clients use it, and targets of every dialect that answer it: written out, not the code's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from faults.wire import INPUT, OUTPUT, WIRES, Wire, dumped
from standins.scripted import Turn

BY_DIALECT: dict[str, Wire] = {wire.name: wire for wire in WIRES}


DONE = b"[DONE]"


class Surface(NamedTuple):
    """One path: how a prompt is put to it, and what a client reads of an answer."""

    family: str
    path: str
    body: Callable[[str], dict[str, Any]]
    # The text of a whole answer, or of one unit of a stream; None where it has none.
    whole: Callable[[Any], str]
    piece: Callable[[Any], str | None]
    # The message of an error's body.
    error: Callable[[Any], str]
    # Whether a stream came to its end, by its last unit.
    ended: Callable[[bytes], bool]
    streams_by_default: bool = False


def _messages(prompt: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": prompt}]}


def _openai_error(body: Any) -> str:
    assert {"message", "type", "code"} <= body["error"].keys()
    return str(body["error"]["message"])


def _anthropic_error(body: Any) -> str:
    assert body["type"] == "error"
    assert body["error"]["type"].endswith("_error")
    return str(body["error"]["message"])


def _ollama_error(body: Any) -> str:
    assert isinstance(body["error"], str)
    return str(body["error"])


def _done(data: bytes) -> bool:
    return data == DONE


def _last_line(data: bytes) -> bool:
    return json.loads(data).get("done") is True


CHATS: dict[str, Surface] = {
    "openai chat": Surface(
        "openai", "/v1/chat/completions", _messages,
        lambda body: body["choices"][0]["message"]["content"],
        lambda frame: frame["choices"][0]["delta"].get("content") if frame["choices"] else None,
        _openai_error, _done,
    ),
    "openai responses": Surface(
        "openai", "/v1/responses", lambda prompt: {"input": prompt},
        lambda body: body["output"][0]["content"][0]["text"],
        lambda event: event["delta"] if event["type"] == "response.output_text.delta" else None,
        _openai_error, lambda data: b'"type":"response.completed"' in data,
    ),
    "anthropic messages": Surface(
        "anthropic", "/v1/messages", lambda prompt: _messages(prompt) | {"max_tokens": 100},
        lambda body: body["content"][0]["text"],
        lambda event: event.get("delta", {}).get("text"),
        _anthropic_error, lambda data: b'"message_stop"' in data,
    ),
    "ollama chat": Surface(
        "ollama", "/api/chat", _messages,
        lambda body: body["message"]["content"],
        lambda line: line["message"]["content"],
        _ollama_error, _last_line, True,
    ),
    "ollama generate": Surface(
        "ollama", "/api/generate", lambda prompt: {"prompt": prompt},
        lambda body: body["response"],
        lambda line: line["response"],
        _ollama_error, _last_line, True,
    ),
}  # fmt: skip
FILLS: dict[str, Surface] = {
    "openai completions": Surface(
        "openai", "/v1/completions", lambda prompt: {"prompt": prompt, "suffix": "end"},
        lambda body: body["choices"][0]["text"],
        lambda frame: frame["choices"][0]["text"] if frame["choices"] else None,
        _openai_error, _done,
    ),
    "ollama fill": Surface(
        "ollama", "/api/generate", lambda prompt: {"prompt": prompt, "suffix": "end"},
        lambda body: body["response"],
        lambda line: line["response"],
        _ollama_error, _last_line, True,
    ),
}  # fmt: skip
EMBEDDINGS: dict[str, Surface] = {
    "openai embeddings": Surface(
        "openai", "/v1/embeddings", lambda prompt: {"input": [prompt]},
        lambda body: json.dumps(body["data"][0]["embedding"]), lambda _: None, _openai_error, _done,
    ),
    "ollama embed": Surface(
        "ollama", "/api/embed", lambda prompt: {"input": prompt},
        lambda body: json.dumps(body["embeddings"][0]), lambda _: None, _ollama_error, _last_line,
    ),
    "ollama embeddings": Surface(
        "ollama", "/api/embeddings", lambda prompt: {"prompt": prompt},
        lambda body: json.dumps(body["embedding"]), lambda _: None, _ollama_error, _last_line,
    ),
}  # fmt: skip
SURFACES = {**CHATS, **FILLS, **EMBEDDINGS}

VECTOR = [0.5, -1.0, 2.0]


def asked(surface: Surface, prompt: str, *, model: str = "coder", streamed: bool | None = None) -> dict[str, Any]:
    """A request's body; `streamed` None leaves the field out."""
    body = {"model": model} | surface.body(prompt)
    return body if streamed is None else body | {"stream": streamed}


def units(content_type: str, body: bytes) -> list[bytes]:
    """The JSON texts of a stream, and `DONE`, in order."""
    if content_type.startswith("application/x-ndjson"):
        return [line for line in body.split(b"\n") if line]
    events = [event for event in body.split(b"\n\n") if b"data: " in event]
    return [event.partition(b"data: ")[2] for event in events]


def said(surface: Surface, content_type: str, body: bytes) -> tuple[str, bool]:
    """The text of a stream, and whether it ended as one does."""
    found = units(content_type, body)
    pieces = [surface.piece(json.loads(unit)) for unit in found if unit != DONE and not is_error(unit)]
    ended = bool(found) and not is_error(found[-1]) and surface.ended(found[-1])
    return "".join(piece or "" for piece in pieces), ended


def is_error(unit: bytes) -> bool:
    """Whether one unit of a stream reports an error."""
    return unit != DONE and bool(json.loads(unit).get("error"))


async def answer(turn: Turn, text: str = "hello there") -> None:
    """A good answer to whatever is asked, in the dialect of the path that it is asked at."""
    path = turn.line.split(" ")[1].split("?")[0]
    streamed = turn.json.get("stream", path.startswith("/api/") and "embed" not in path)
    if path.endswith(("/embeddings", "/embed")):
        await _send(turn, "application/json", _vectors(path, turn.json))
    elif path.endswith("/api/generate"):
        base = {"model": "m", "created_at": "2026-11-22T14:00:00.000001Z"}
        last = {**base, "response": "", "done": True, "done_reason": "stop", "prompt_eval_count": INPUT}
        last["eval_count"] = OUTPUT
        first = {**base, "response": text, "done": False}
        lines = dumped(first) + b"\n" + dumped(last) + b"\n"
        await _send(turn, "application/x-ndjson", lines if streamed else dumped({**last, "response": text}))
    elif path.endswith("/v1/completions"):
        await _send(turn, *_completion(text, streamed))
    else:
        wire = next(wire for wire in WIRES if path == wire.path)
        half = len(text) // 2
        frames = (wire.role(), wire.content(text[:half]), wire.content(text[half:]), wire.finish(), wire.end())
        if streamed:
            await _send(turn, wire.stream_type, b"".join(frames))
        else:
            await _send(turn, "application/json", wire.whole(text))


def _vectors(path: str, body: dict[str, Any]) -> bytes:
    if path.startswith("/api/"):
        return dumped({"model": "m", "embeddings": [VECTOR], "prompt_eval_count": INPUT})
    usage = {"prompt_tokens": INPUT, "total_tokens": INPUT}
    data = [{"object": "embedding", "index": 0, "embedding": VECTOR}]
    return dumped({"object": "list", "data": data, "model": "m", "usage": usage})


def _completion(text: str, streamed: bool) -> tuple[str, bytes]:
    base = {"id": "cmpl-1", "object": "text_completion", "created": 1795356000, "model": "m"}
    usage = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": "stop"}
    if not streamed:
        return "application/json", dumped({**base, "choices": [choice], "usage": usage})
    first = {**base, "choices": [{**choice, "finish_reason": None}]}
    last = {**base, "choices": [{**choice, "text": ""}]}
    frames = [first, last, {**base, "choices": [], "usage": usage}]
    data = b"".join(b"data: " + dumped(frame) + b"\n\n" for frame in frames)
    return "text/event-stream", data + b"data: [DONE]\n\n"


async def _send(turn: Turn, content_type: str, body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    await turn.send(head.encode() + body)
