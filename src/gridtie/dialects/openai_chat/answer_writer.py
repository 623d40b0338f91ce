"""Writing OpenAI answers, streamed and whole, for answers that came in another form.

Texts are given as JSON strings and pass from one JSON into another unread.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.answer import AnswerTooLarge, Finish, Text, ToolCall
from gridtie.dialects.openai_chat.usage import to_wire
from gridtie.dialects.types import MAX_ANSWER_BYTES, AnswerOptions, Usage

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode
_TAIL = b'},"finish_reason":null}]}\n\n'
_EMPTY = msgspec.Raw(b'""')


class ChunkWriter:
    """The frames of one streamed answer.

    They are joined from bytes that are fixed per answer and a few that change, as this runs once per token.
    """

    def __init__(self, id: str, created: int, model: str, _options: AnswerOptions) -> None:
        self._common = (
            b'data: {"id":' + _encode(id) + b',"object":"chat.completion.chunk","created":' + _encode(created)
            + b',"model":' + _encode(model) + b',"choices":['
        )  # fmt: skip
        self._delta = self._common + b'{"index":0,"delta":{'
        self._content = self._delta + b'"content":'

    def start(self) -> bytes:
        return self._delta + b'"role":"assistant","content":""' + _TAIL

    def content(self, text: Text) -> bytes:
        return b"".join((self._content, text, _TAIL))

    def reasoning(self, text: Text) -> bytes:
        # Under the name that clients of open models read.
        return b"".join((self._delta, b'"reasoning_content":', text, _TAIL))

    def signature(self, text: Text) -> bytes:
        return b""

    redacted = signature

    def refusal(self, text: Text) -> bytes:
        return b"".join((self._delta, b'"refusal":', text, _TAIL))

    def call(self, index: int, call: ToolCall) -> bytes:
        function = {"name": call.name, "arguments": call.arguments}
        return self._tool(_encode({"index": index, "id": call.id, "type": "function", "function": function}))

    def arguments(self, index: int, piece: Text) -> bytes:
        return self._tool(b'{"index":%d,"function":{"arguments":%b}}' % (index, bytes(piece)))

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        finish = self._common + b'{"index":0,"delta":{},"finish_reason":' + _encode(reason) + b"}]}\n\n"
        if not wants_usage:
            return finish + DONE
        return b"".join((finish, self._common, b'],"usage":', _encode(to_wire(usage)), b"}\n\n", DONE))

    def held(self) -> int:
        return 0

    def _tool(self, piece: bytes) -> bytes:
        return self._delta + b'"tool_calls":[' + piece + b"]" + _TAIL


class Message:
    """One answer's message while its pieces are collected. Raises `AnswerTooLarge`."""

    def __init__(self) -> None:
        # Not lists of pieces: an object a token is ten times the text.
        self._texts: dict[str, bytearray] = {}
        self._calls: dict[int, _Call] = {}
        self.bytes = 0

    def say(self, field: str, text: Text) -> None:
        """A piece of `content`, `reasoning_content` or `refusal`."""
        self._texts.setdefault(field, bytearray()).extend(self._inside(text))

    def call(self, index: int, id: Text = b"", name: Text = b"", arguments: Text = b"") -> None:
        """A piece of a tool call, each part a JSON string or empty."""
        call = self._calls.setdefault(index, _Call())
        if id:
            call.id = bytes(id)
        if name:
            call.name = bytes(name)
        if arguments:
            call.arguments.extend(self._inside(arguments))

    def choice(self, index: int, reason: str | msgspec.Raw) -> dict[str, Any]:
        """The choice of a whole completion."""
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        message.update({field: _quoted(text) for field, text in self._texts.items()})
        if self._calls:
            message["tool_calls"] = [call.whole() for _, call in sorted(self._calls.items())]
        elif message["content"] is None:
            message["content"] = _EMPTY
        return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}

    def _inside(self, text: Text) -> bytes:
        """A JSON string without its quotes: pieces joined so are one string, escapes and all."""
        piece = bytes(text)[1:-1]
        self.bytes += len(piece)
        if self.bytes > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes")
        return piece


class _Call:
    def __init__(self) -> None:
        self.id = self.name = b'""'
        self.arguments = bytearray()

    def whole(self) -> dict[str, Any]:
        function = {"name": msgspec.Raw(self.name), "arguments": _quoted(self.arguments)}
        return {"id": msgspec.Raw(self.id), "type": "function", "function": function}


class WholeWriter:
    """Collects an answer, and gives it whole at its end. Raises `AnswerTooLarge`."""

    def __init__(self, id: str, created: int, model: str, _options: AnswerOptions) -> None:
        self._head = {"id": id, "object": "chat.completion", "created": created, "model": model}
        self._message = Message()

    def start(self) -> bytes:
        return b""

    def content(self, text: Text) -> bytes:
        self._message.say("content", text)
        return b""

    def reasoning(self, text: Text) -> bytes:
        self._message.say("reasoning_content", text)
        return b""

    def signature(self, text: Text) -> bytes:
        return b""

    redacted = signature

    def refusal(self, text: Text) -> bytes:
        self._message.say("refusal", text)
        return b""

    def call(self, index: int, call: ToolCall) -> bytes:
        self._message.call(index, _encode(call.id), _encode(call.name), _encode(call.arguments))
        return b""

    def arguments(self, index: int, piece: Text) -> bytes:
        self._message.call(index, arguments=piece)
        return b""

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        return completion(self._head, [self._message.choice(0, reason)], to_wire(usage))

    def held(self) -> int:
        return self._message.bytes


def completion(head: dict[str, Any], choices: list[dict[str, Any]], usage: object) -> bytes:
    """A whole chat completion."""
    return _encode(head | {"choices": choices, "usage": usage})


def _quoted(text: bytearray) -> msgspec.Raw:
    return msgspec.Raw(b'"' + bytes(text) + b'"')
