"""OpenAI's wire format, as its API answers: whole completions, streams and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from standins.agent import Heard
from standins.behaviour import BY_MODEL, Behaviour, Refusal
from standins.judge import Request, Wrong, count_tokens, pieces, written

PATH = "/v1/chat/completions"
STREAM_TYPE = "text/event-stream; charset=utf-8"
STREAMS_BY_DEFAULT = False
CREATED = 1795356000

# The words of the API for what a behaviour calls by one name for every dialect: (type, code).
_ERRORS: dict[str, tuple[str, str | int | None]] = {
    "rate_limit": ("requests", "rate_limit_exceeded"),
    "overloaded": ("server_error", None),
    "server": ("server_error", None),
    "authentication": ("invalid_request_error", "invalid_api_key"),
    "not_found": ("invalid_request_error", "model_not_found"),
    "invalid": ("invalid_request_error", None),
    "context": ("invalid_request_error", "context_length_exceeded"),
}


def judge(request: Request) -> None:
    """What the API would reject. Raises `Wrong`."""
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not key:
        raise Wrong(401, "authentication", "You didn't provide an API key.")
    if not key.startswith("sk-"):
        raise Wrong(401, "authentication", f"Incorrect API key provided: {key[:4]}***.")
    if request.path != PATH:
        raise Wrong(404, "invalid", f"Invalid URL (POST {request.path})")
    judge_body(request.body)


def judge_body(body: dict[str, Any]) -> None:
    """What is wrong with a request wherever it is sent. Raises `Wrong`."""
    for field in ("model", "messages"):
        if field not in body:
            raise Wrong(400, "invalid", f"Missing required parameter: '{field}'.")
    if not isinstance(body["messages"], list) or not body["messages"]:
        raise Wrong(400, "invalid", "Invalid 'messages': empty array. Expected an array with minimum length 1.")
    if body.get("stream_options") is not None and not body.get("stream"):
        raise Wrong(400, "invalid", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    _judge_results(body["messages"])


def _judge_results(messages: list[dict[str, Any]]) -> None:
    pending: set[str] = set()
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in pending:
                said = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
                raise Wrong(400, "invalid", f"Invalid parameter: {said} (messages.{index}).")
            pending.remove(message["tool_call_id"])
            continue
        if pending:
            said = "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
            raise Wrong(400, "invalid", f"{said}: {', '.join(sorted(pending))} (messages.{index}).")
        pending = {call["id"] for call in message.get("tool_calls") or ()}


def heard(request: Request) -> Heard:
    """The conversation as a model hears it."""
    found = Heard(tools=[tool["function"]["name"] for tool in request.body.get("tools") or () if "function" in tool])
    for message in request.body["messages"]:
        if message["role"] == "user":
            found.user(_said(message["content"]))
        elif message["role"] == "tool":
            found.results.append(_said(message["content"]))
    return found


def _said(content: str | list[dict[str, Any]]) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def models() -> bytes:
    """The list of models; what a router may ask to see whether anybody is there."""
    names = ["gpt-5.4-mini", "small", *BY_MODEL]
    listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "standin"} for name in names]
    return json.dumps({"object": "list", "data": listed}).encode()


def error(refusal: Refusal) -> bytes:
    type, code = _ERRORS.get(refusal.type, (refusal.type, refusal.code))
    message = refusal.message
    if refusal.type == "context":
        message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9083 tokens."
    return json.dumps(
        {"error": {"message": message, "type": type, "param": None, "code": refusal.code or code}}
    ).encode()


def whole(request: Request, behaviour: Behaviour) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": _text(request, behaviour), "refusal": None}
    if behaviour.reasoning:
        message["reasoning_content"] = behaviour.reasoning
    if calls := _calls(request, behaviour):
        message |= {"content": None, "tool_calls": calls}
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(behaviour)}
        for index in range(request.body.get("n") or 1)
    ]
    answer = _base(request, "chat.completion") | {"choices": choices}
    if behaviour.usage == "as asked":
        answer["usage"] = _usage(request, behaviour)
    elif behaviour.usage == "null":
        answer["usage"] = None
    return json.dumps(answer).encode()


def events(request: Request, behaviour: Behaviour) -> Iterator[bytes]:
    """The events of a stream, the end mark among them."""
    asked = (request.body.get("stream_options") or {}).get("include_usage") is True
    # Once usage is asked for, the API sends it as null in every frame but the last.
    null = asked or behaviour.usage == "null"

    def frame(choices: list[dict[str, Any]], **more: Any) -> bytes:
        fields = (
            _base(request, "chat.completion.chunk") | {"choices": choices} | ({"usage": None} if null else {}) | more
        )
        return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"

    def delta(fields: dict[str, Any], finish: str | None = None) -> bytes:
        """A frame for each of the answers, in turn."""
        choice = {"delta": fields, "logprobs": None, "finish_reason": finish}
        return b"".join(frame([{"index": index} | choice]) for index in range(request.body.get("n") or 1))

    yield delta({"role": "assistant", "content": "", "refusal": None})
    for piece in pieces(behaviour.reasoning):
        yield delta({"reasoning_content": piece})
    for piece in pieces(_text(request, behaviour)):
        yield delta({"content": piece})
    for index, call in enumerate(_calls(request, behaviour)):
        begun = {"name": call["function"]["name"], "arguments": ""}
        yield delta({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": begun}]})
        for piece in pieces(call["function"]["arguments"]):
            yield delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield delta({}, _finish(behaviour))
    if asked and behaviour.usage == "as asked":
        yield frame([], usage=_usage(request, behaviour))
    yield b"data: [DONE]\n\n"


def error_event() -> bytes:
    return b"data: " + error(Refusal(500, "server", "The server had an error while processing.")) + b"\n\n"


def _base(request: Request, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-standin{request.number}",
        "object": kind,
        "created": CREATED,
        "model": request.body["model"],
        "service_tier": "default",
        "system_fingerprint": "fp_standin",
    }


def _text(request: Request, behaviour: Behaviour) -> str:
    format_ = {} if behaviour.exact else request.body.get("response_format") or {}
    if format_.get("type") == "json_schema":
        return json.dumps(written(format_["json_schema"]["schema"]))
    return '{"answer": "yes"}' if format_.get("type") == "json_object" else behaviour.text


def _calls(request: Request, behaviour: Behaviour) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_standin{request.number}_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(behaviour.calls)
    ]


def _finish(behaviour: Behaviour) -> str:
    return behaviour.finish or ("tool_calls" if behaviour.calls else "stop")


def _usage(request: Request, behaviour: Behaviour) -> dict[str, Any]:
    prompt, completion = count_tokens(request.body["messages"]), len(list(pieces(_text(request, behaviour))))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": behaviour.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
