"""Anthropic's wire format, API version 2026-10-21: whole messages, streams and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from standins.agent import Heard
from standins.behaviour import Behaviour, Refusal
from standins.judge import Request, Wrong, count_tokens, pieces, written

PATH = "/v1/messages"
STREAM_TYPE = "text/event-stream; charset=utf-8"
STREAMS_BY_DEFAULT = False
VERSIONS = ("2023-06-01", "2026-10-21")

# The words of the API for what a behaviour calls by one name for every dialect.
_ERRORS = {
    "rate_limit": "rate_limit_error",
    "overloaded": "overloaded_error",
    "server": "api_error",
    "authentication": "authentication_error",
    "not_found": "not_found_error",
    "invalid": "invalid_request_error",
    "context": "invalid_request_error",
}


def judge(request: Request) -> None:
    """What the API would reject. Raises `Wrong`."""
    key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
    if not key.startswith("sk-"):
        raise Wrong(401, "authentication", "invalid x-api-key")
    if request.path.split("?")[0] != PATH:
        raise Wrong(404, "not_found", f"Not found: {request.path}")
    if request.headers.get("anthropic-version") not in VERSIONS:
        raise Wrong(400, "invalid", "anthropic-version: header is required")
    for field in ("model", "max_tokens", "messages"):
        if field not in request.body:
            raise Wrong(400, "invalid", f"{field}: Field required")
    if request.headers["anthropic-version"] == "2026-10-21":
        for field in ("temperature", "top_p", "top_k"):
            if field in request.body:
                raise Wrong(400, "invalid", f"{field}: Extra inputs are not permitted")
    _judge_messages(request.body["messages"])


def _judge_messages(messages: list[dict[str, Any]]) -> None:
    if not messages:
        raise Wrong(400, "invalid", "messages: at least one message is required")
    pending: set[str] = set()
    for index, message in enumerate(messages):
        blocks = message["content"] if isinstance(message["content"], list) else []
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if pending - results:
            raise Wrong(400, "invalid", f"messages.{index}: `tool_use` ids without `tool_result`: {sorted(pending)}")
        if any(block["type"] == "text" and not block["text"] for block in blocks):
            raise Wrong(400, "invalid", f"messages.{index}: text content blocks must be non-empty")
        pending = {block["id"] for block in blocks if block["type"] == "tool_use"}


def heard(request: Request) -> Heard:
    """The conversation as a model hears it."""
    found = Heard(tools=[tool["name"] for tool in request.body.get("tools") or ()])
    for message in request.body["messages"]:
        if message["role"] != "user":
            continue
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        results = [_said(block.get("content", "")) for block in blocks if block["type"] == "tool_result"]
        if results:
            found.results += results
        else:
            found.user(_said(blocks))
    return found


def _said(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def models() -> bytes:
    """The list of models; what a router may ask to see whether anybody is there."""
    listed = {
        "id": "claude-haiku-5-5",
        "type": "model",
        "display_name": "Stand-in",
        "created_at": "2026-11-22T14:00:00Z",
    }
    return json.dumps({"data": [listed], "has_more": False, "first_id": None, "last_id": None}).encode()


def error(refusal: Refusal) -> bytes:
    message = refusal.message
    if refusal.type == "context":
        message = "prompt is too long: 215104 tokens > 200000 maximum"
    inner = {"type": _ERRORS.get(refusal.type, refusal.type), "message": message}
    return json.dumps({"type": "error", "error": inner, "request_id": "req_standin"}).encode()


def whole(request: Request, behaviour: Behaviour) -> bytes:
    blocks = [block | filled for block, filled, _ in _blocks(request, behaviour)]
    return json.dumps(
        _message(request, blocks, behaviour)
        | {"stop_reason": _stop(behaviour), "usage": _usage(request, behaviour, len(blocks))}
    ).encode()


def events(request: Request, behaviour: Behaviour) -> Iterator[bytes]:
    """The events of a stream."""

    def event(type: str, **fields: Any) -> bytes:
        return f"event: {type}\ndata: {json.dumps({'type': type} | fields)}\n\n".encode()

    yield event("message_start", message=_message(request, [], behaviour) | {"usage": _usage(request, behaviour, 1)})
    output = 0
    for index, (block, _, deltas) in enumerate(_blocks(request, behaviour)):
        yield event("content_block_start", index=index, content_block=block)
        if not index:
            yield event("ping")
        for delta in deltas:
            output += 1
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    stop = {"stop_reason": _stop(behaviour), "stop_sequence": None}
    yield event("message_delta", delta=stop, usage={"output_tokens": max(1, output)})
    yield event("message_stop")


def error_event() -> bytes:
    return b"event: error\ndata: " + error(Refusal(529, "overloaded", "Overloaded")) + b"\n\n"


Block = tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]


def _blocks(request: Request, behaviour: Behaviour) -> Iterator[Block]:
    """Each block as it starts, what fills it in a whole answer, and its deltas in a stream."""
    if behaviour.reasoning:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(behaviour.reasoning)]
        signature = {"type": "signature_delta", "signature": "c3RhbmRpbg=="}
        filled = {"thinking": behaviour.reasoning, "signature": "c3RhbmRpbg=="}
        yield {"type": "thinking", "thinking": "", "signature": ""}, filled, [*deltas, signature]
    if text := _text(request, behaviour):
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(text)]
        yield {"type": "text", "text": ""}, {"text": text}, deltas
    for index, call in enumerate(behaviour.calls):
        block = {"type": "tool_use", "id": f"toolu_standin{request.number}_{index}", "name": call.name, "input": {}}
        written_out = pieces(json.dumps(call.arguments)) if call.arguments else ()
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *written_out)]
        yield block, {"input": call.arguments}, deltas


def _text(request: Request, behaviour: Behaviour) -> str:
    format_ = (request.body.get("output_config") or {}).get("format") or {}
    return json.dumps(written(format_["schema"])) if format_ else behaviour.text


def _message(request: Request, blocks: list[dict[str, Any]], behaviour: Behaviour) -> dict[str, Any]:
    return {
        "id": f"msg_standin{request.number}",
        "type": "message",
        "role": "assistant",
        "model": request.body["model"],
        "content": blocks,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop(behaviour: Behaviour) -> str:
    words = {"length": "max_tokens", "stop": "end_turn", None: "tool_use" if behaviour.calls else "end_turn"}
    return words.get(behaviour.finish, behaviour.finish or "end_turn")


def _usage(request: Request, behaviour: Behaviour, output: int) -> dict[str, Any]:
    prompt = count_tokens([request.body.get("system"), request.body["messages"]])
    return {
        "input_tokens": max(1, prompt - behaviour.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": behaviour.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }
