"""vLLM: OpenAI's wire format without a key, with a listing that says its context, metrics, and refusals of its own.

As tests/contract/wire has it of 0.32.0, started without a parser of tools; `tests/scale` holds it to the real one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from standins import openai_wire
from standins.behaviour import BY_MODEL, Behaviour, Refusal
from standins.judge import Request, Wrong
from standins.openai_wire import CREATED, PATH, STREAM_TYPE, STREAMS_BY_DEFAULT, heard, judge_body

__all__ = [
    "STREAMS_BY_DEFAULT", "STREAM_TYPE", "error", "error_event", "events", "get", "heard", "judge", "rendered", "whole",
]  # fmt: skip

CONTEXT = 2048
# Requests that its metrics say: computed, waiting; and the used share of its cache.
LOAD: dict[str, float] = {"num_requests_running": 2.0, "num_requests_waiting": 0.0, "kv_cache_usage_perc": 0.25}

# By what a behaviour calls it: the type that stands under `error`, and the parameter that it names.
_TYPES = {
    "context": ("BadRequestError", "input_tokens"),
    "output": ("BadRequestError", "max_tokens"),
    "not_found": ("NotFoundError", "model"),
}
_TOO_LONG = (
    f"This model's maximum context length is {CONTEXT} tokens. However, your prompt contains at least {CONTEXT + 1} "
    "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
    f"prompt. (parameter=input_tokens, value={CONTEXT + 1})"
)
NO_PARSER = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'


def judge(request: Request) -> None:
    """What the server would reject. Raises `Wrong`."""
    if request.path != PATH:
        raise Wrong(404, "invalid", "Not Found")
    judge_body(request.body)
    most = request.body.get("max_tokens") or request.body.get("max_completion_tokens") or 0
    if most > CONTEXT:
        said = f"max_tokens={most} cannot be greater than max_model_len={CONTEXT}. Please request fewer output tokens."
        raise Wrong(400, "output", f"{said} (parameter=max_tokens, value={most})")
    if request.body.get("tools") and request.body.get("tool_choice", "auto") == "auto":
        raise Wrong(400, "invalid", NO_PARSER)


def get(path: str) -> bytes:
    """What it says of itself."""
    if path == "/metrics":
        lines = (f'vllm:{name}{{engine="0",model_name="small"}} {value}' for name, value in LOAD.items())
        return "\n".join([*lines, ""]).encode()
    fields = {"object": "model", "created": CREATED, "owned_by": "vllm", "root": "/models/vllm/small", "parent": None}
    listed = [{"id": name, **fields, "max_model_len": CONTEXT, "permission": []} for name in ("small", *BY_MODEL)]
    return json.dumps({"object": "list", "data": listed}).encode()


def rendered(raw: bytes) -> bytes:
    """The tokens of a prompt, by which vllm-router finds who has read its beginning: a character each, here."""
    text = "".join(f"{each['role']}: {each['content']}\n" for each in json.loads(raw)["messages"])
    return json.dumps({"request_id": "r", "token_ids": [ord(letter) for letter in text]}).encode()


def error(refusal: Refusal) -> bytes:
    type, param = _TYPES.get(refusal.type, ("BadRequestError", None))
    message = _TOO_LONG if refusal.type == "context" else refusal.message
    return json.dumps({"error": {"message": message, "type": type, "param": param, "code": refusal.status}}).encode()


def error_event() -> bytes:
    return b"data: " + error(Refusal(500, "server", "EngineCore encountered an issue.")) + b"\n\n"


def whole(request: Request, behaviour: Behaviour) -> bytes:
    return json.dumps(_own(json.loads(openai_wire.whole(request, behaviour)))).encode()


def events(request: Request, behaviour: Behaviour) -> Iterator[bytes]:
    """No frame but the last says anything of usage."""
    for event in openai_wire.events(request, behaviour):
        if not event.startswith(b"data: {"):
            yield event
            continue
        fields = _own(json.loads(event[6:]))
        if not fields["choices"] or fields.get("usage") is None:
            fields = {key: value for key, value in fields.items() if key != "usage" or value is not None}
        yield b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


def _own(answer: dict[str, Any]) -> dict[str, Any]:
    """Its own names and what it leaves out: no details of usage without --enable-prompt-tokens-details."""
    if answer.get("usage"):
        answer["usage"] = {**answer["usage"], "prompt_tokens_details": None, "completion_tokens_details": None}
    for choice in answer["choices"]:
        said = choice.get("message") or choice.get("delta")
        if "reasoning_content" in said:
            said["reasoning"] = said.pop("reasoning_content")
    return answer
