"""Answers of targets as events of OpenAI's responses."""

from __future__ import annotations

import json
from typing import Any

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import AnswerOptions

CALL = {"id": "c1", "function": {"name": "add", "arguments": {"a": 2, "b": 3}}}
LINE = {"model": "m", "created_at": "2026-11-22T14:00:00.000001Z", "done": True, "done_reason": "stop"}


def events(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    """What a client is sent of these lines of Ollama's."""
    decoder = codec("openai-responses", "ollama").stream(AnswerOptions(5, wants_usage=True))
    sent = b"".join(decoder.feed(json.dumps(line).encode() + b"\n").out for line in lines)
    return [json.loads(event.partition(b"data: ")[2]) for event in sent.split(b"\n\n") if event]


def test_arguments_that_come_whole_are_a_delta_as_well() -> None:
    """LangChain puts a call together of deltas alone, and called its tools with nothing."""
    found = events({**LINE, "message": {"role": "assistant", "content": "", "tool_calls": [CALL]}})

    pieces = [event["delta"] for event in found if event["type"] == "response.function_call_arguments.delta"]
    done = next(event for event in found if event["type"] == "response.function_call_arguments.done")
    assert json.loads("".join(pieces)) == {"a": 2, "b": 3}
    assert "".join(pieces) == done["arguments"]
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
