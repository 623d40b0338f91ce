"""llama.cpp's server: OpenAI's wire format without a key, and with refusals of its own."""

from __future__ import annotations

import json

from standins.behaviour import Refusal
from standins.judge import Request, Wrong
from standins.openai_wire import PATH, error_event, events, heard, judge_body, models, whole
from standins.openai_wire import STREAM_TYPE as STREAM_TYPE
from standins.openai_wire import STREAMS_BY_DEFAULT as STREAMS_BY_DEFAULT

__all__ = ["error", "error_event", "events", "heard", "judge", "models", "whole"]

# As tests/contract/wire has it.
_TOO_LONG = {
    "code": 400,
    "message": "request (9083 tokens) exceeds the available context size (8192 tokens), try increasing it",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 9083,
    "n_ctx": 8192,
}


def judge(request: Request) -> None:
    """What the server would reject. Raises `Wrong`."""
    if request.path != PATH:
        raise Wrong(404, "not_found_error", "File Not Found")
    judge_body(request.body)


def error(refusal: Refusal) -> bytes:
    said = {"code": refusal.status, "message": refusal.message, "type": f"{refusal.type}_error"}
    return json.dumps({"error": _TOO_LONG if refusal.type == "context" else said}).encode()
