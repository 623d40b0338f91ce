"""Ollama's native wire format, 0.32: whole answers, streams of lines and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from standins.agent import Heard
from standins.behaviour import BY_MODEL, Behaviour, Refusal
from standins.judge import Request, Wrong, count_tokens, pieces, written

PATH = "/api/chat"
STREAM_TYPE = "application/x-ndjson"
STREAMS_BY_DEFAULT = True
_TIME = "2026-11-22T14:00:00.000001Z"
# Its own server's words, as tests/contract/wire has them.
_TOO_LONG = {
    "error": {
        "code": 400,
        "message": "request (9083 tokens) exceeds the available context size (8192 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9083,
        "n_ctx": 8192,
    }
}


def judge(request: Request) -> None:
    """What the server would reject. Raises `Wrong`."""
    if request.path != PATH:
        raise Wrong(404, "not_found", "404 page not found")
    for message in request.body.get("messages", ()):
        if not isinstance(message.get("content", ""), str):
            raise Wrong(400, "invalid", "json: cannot unmarshal array into Go struct field .content of type string")
        for call in message.get("tool_calls", ()):
            if not isinstance(call["function"]["arguments"], dict):
                raise Wrong(400, "invalid", "json: cannot unmarshal string into Go struct field .arguments")


def heard(request: Request) -> Heard:
    """The conversation as a model hears it."""
    found = Heard(tools=[tool["function"]["name"] for tool in request.body.get("tools") or ()])
    for message in request.body["messages"]:
        if message["role"] == "user":
            found.user(message["content"])
        elif message["role"] == "tool":
            found.results.append(message["content"])
    return found


def models() -> bytes:
    """Any list that is asked for: what there is, or what is loaded."""
    return json.dumps({"models": [{"name": name, "model": name} for name in ("small", *BY_MODEL)]}).encode()


def error(refusal: Refusal) -> bytes:
    message = json.dumps(_TOO_LONG) if refusal.type == "context" else refusal.message
    return json.dumps({"error": message}).encode()


def whole(request: Request, behaviour: Behaviour) -> bytes:
    message = {"content": _text(request, behaviour)}
    if behaviour.reasoning:
        message["thinking"] = behaviour.reasoning
    if calls := _calls(request, behaviour):
        message["tool_calls"] = calls
    return _line(request, message, **_last(request, behaviour))


def events(request: Request, behaviour: Behaviour) -> Iterator[bytes]:
    """The lines of a stream, the last among them."""
    for piece in pieces(behaviour.reasoning):
        yield _line(request, {"content": "", "thinking": piece})
    for piece in pieces(_text(request, behaviour)):
        yield _line(request, {"content": piece})
    for call in _calls(request, behaviour):
        yield _line(request, {"content": "", "tool_calls": [call]})
    yield _line(request, {"content": ""}, **_last(request, behaviour))


def error_event() -> bytes:
    return error(Refusal(500, "server", "an error was encountered while running the model: exit status 2")) + b"\n"


def _line(request: Request, message: dict[str, Any], *, done: bool = False, **more: Any) -> bytes:
    line = {"model": request.body["model"], "created_at": _TIME, "message": {"role": "assistant"} | message}
    return json.dumps(line | {"done": done} | more).encode() + b"\n"


def _last(request: Request, behaviour: Behaviour) -> dict[str, Any]:
    counted = {
        "prompt_eval_count": count_tokens(request.body["messages"]),
        "eval_count": max(1, len(list(pieces(_text(request, behaviour))))),
    }
    reason = "length" if behaviour.finish == "length" else "stop"
    return {"done": True, "done_reason": reason} | (counted if behaviour.usage == "as asked" else {})


def _text(request: Request, behaviour: Behaviour) -> str:
    format_ = None if behaviour.exact else request.body.get("format")
    if isinstance(format_, dict):
        return json.dumps(written(format_))
    return '{"answer": "yes"}' if format_ == "json" else behaviour.text


def _calls(request: Request, behaviour: Behaviour) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_standin{request.number}_{index}",
            "function": {"index": index, "name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(behaviour.calls)
    ]
