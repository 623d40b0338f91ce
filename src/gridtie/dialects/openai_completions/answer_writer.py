"""Events -> the answers of OpenAI's completions, streamed and whole. They have text and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.answer import Finish, Text, ToolCall
from gridtie.dialects.openai_chat.answer_writer import DONE, Message
from gridtie.dialects.openai_chat.usage import to_wire
from gridtie.dialects.types import AnswerOptions, Usage

_encode = msgspec.json.Encoder().encode
_TAIL = b',"logprobs":null,"finish_reason":null}]}\n\n'


class _TextOnly:
    """What a completion has no place for."""

    def start(self) -> bytes:
        return b""

    def reasoning(self, text: Text) -> bytes:
        return b""

    def signature(self, text: Text) -> bytes:
        return b""

    redacted = signature

    def call(self, index: int, call: ToolCall) -> bytes:
        return b""

    def arguments(self, index: int, piece: Text) -> bytes:
        return b""


def _head(id: str, created: int, model: str) -> dict[str, Any]:
    return {"id": id.replace("chatcmpl-", "cmpl-"), "object": "text_completion", "created": created, "model": model}


class ChunkWriter(_TextOnly):
    """The frames of one streamed answer."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None:
        self._common = b"data: " + _encode(_head(id, created, model))[:-1] + b',"choices":['
        self._text = self._common + b'{"index":0,"text":'

    def content(self, text: Text) -> bytes:
        return b"".join((self._text, text, _TAIL))

    refusal = content

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        last = {"index": 0, "text": "", "logprobs": None, "finish_reason": reason}
        finish = self._common + _encode(last) + b"]}\n\n"
        if not wants_usage:
            return finish + DONE
        return b"".join((finish, self._common, b'],"usage":', _encode(to_wire(usage)), b"}\n\n", DONE))

    def held(self) -> int:
        return 0


class WholeWriter(_TextOnly):
    """Collects an answer, and gives it whole at its end."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None:
        self._head = _head(id, created, model)
        self._message = Message()

    def content(self, text: Text) -> bytes:
        self._message.say("content", text)
        return b""

    refusal = content

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        text = self._message.choice(0, reason)["message"]["content"]
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        return _encode(self._head | {"choices": [choice], "usage": to_wire(usage)})

    def held(self) -> int:
        return self._message.bytes
