"""Writing OpenAI answers: the frames of a stream and whole completions, for translators from other dialects."""

from __future__ import annotations

import msgspec

from gridtie.dialects.openai_chat.usage import to_wire
from gridtie.dialects.types import Usage

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode
_TAIL = b'},"finish_reason":null}]}\n\n'


class ToolCall(msgspec.Struct, frozen=True):
    """A tool call of an answer; `arguments` is JSON as text, as OpenAI clients expect it."""

    id: str
    name: str
    arguments: str


class ChunkWriter:
    """The frames of one streamed answer.

    They are joined from bytes that are fixed per answer and a few that change, as this runs once per token.
    """

    def __init__(self, id: str, created: int, model: str) -> None:
        self._common = (
            b'data: {"id":' + _encode(id) + b',"object":"chat.completion.chunk","created":' + _encode(created)
            + b',"model":' + _encode(model) + b',"choices":['
        )  # fmt: skip
        self._delta = self._common + b'{"index":0,"delta":{'
        self._content = self._delta + b'"content":'

    def role(self) -> bytes:
        return self._delta + b'"role":"assistant","content":""' + _TAIL

    def content(self, text: msgspec.Raw | bytes) -> bytes:
        """A piece of text, given as a JSON string: it passes from one JSON into another unread."""
        return b"".join((self._content, text, _TAIL))

    def reasoning(self, text: msgspec.Raw | bytes) -> bytes:
        """A piece of reasoning, given as a JSON string, under the name that clients of open models read."""
        return b"".join((self._delta, b'"reasoning_content":', text, _TAIL))

    def refusal(self, text: str) -> bytes:
        return self._delta + b'"refusal":' + _encode(text) + _TAIL

    def call(self, index: int, call: ToolCall) -> bytes:
        """The first piece of a tool call: everything, or its name with the arguments to follow."""
        function = {"name": call.name, "arguments": call.arguments}
        return self._tool({"index": index, "id": call.id, "type": "function", "function": function})

    def arguments(self, index: int, piece: str) -> bytes:
        """A further piece of a tool call's arguments."""
        return self._tool({"index": index, "function": {"arguments": piece}})

    def finish(self, reason: str) -> bytes:
        return self._common + b'{"index":0,"delta":{},"finish_reason":' + _encode(reason) + b"}]}\n\n"

    def usage(self, usage: Usage) -> bytes:
        return self._common + b'],"usage":' + _encode(to_wire(usage)) + b"}\n\n"

    def _tool(self, piece: dict[str, object]) -> bytes:
        return self._delta + b'"tool_calls":[' + _encode(piece) + b"]" + _TAIL


def completion(
    *,
    id: str,
    created: int,
    model: str,
    content: str | None,
    finish_reason: str,
    usage: Usage,
    reasoning: str = "",
    refusal: str | None = None,
    calls: list[ToolCall] | None = None,
) -> bytes:
    """A whole chat completion."""
    message: dict[str, object] = {"role": "assistant", "content": content, "refusal": refusal}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    return _encode(
        {
            "id": id,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
            "usage": to_wire(usage),
        }
    )
