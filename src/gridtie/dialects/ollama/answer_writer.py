"""Events -> Ollama's answers to `/api/chat`: a line for each piece, or one object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from gridtie.dialects.answer import AnswerTooLarge, Finish, Text, ToolCall, Unwritable
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.types import MAX_ANSWER_BYTES, AnswerOptions, Usage

_encode = msgspec.json.Encoder().encode
_text = msgspec.json.Decoder(str).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TAIL = b'},"done":false}\n'


class _Calls:
    """Tool calls while their arguments come in pieces: Ollama's clients get each whole."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[ToolCall, bytearray]] = {}
        self.bytes = 0

    def begin(self, index: int, call: ToolCall) -> None:
        self._calls[index] = (call, bytearray(_encode(call.arguments)[1:-1]))

    def add(self, index: int, piece: Text) -> None:
        inside = bytes(piece)[1:-1]
        self.bytes += len(inside)
        if self.bytes > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes")
        self._calls[index][1].extend(inside)

    def whole(self) -> list[dict[str, Any]]:
        """All of them, in order."""
        return [
            {
                "id": call.id,
                "function": {"index": index, "name": call.name, "arguments": _arguments(bytes(inside))},
            }
            for index, (call, inside) in sorted(self._calls.items())
        ]


def _arguments(inside: bytes) -> msgspec.Raw:
    try:
        span = _text(b'"' + inside + b'"').strip().encode() or b"{}"
        _object(span)
    except (*UNREADABLE, UnicodeEncodeError):
        raise Unwritable("the model called a tool with arguments that are no JSON object") from None
    return msgspec.Raw(span)


def _time(created: int) -> str:
    return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%S.000000000Z")


def _end(reason: Finish, usage: Usage) -> dict[str, Any]:
    """What the last line says beside the message. How long it took is not known here."""
    return {
        "done": True,
        "done_reason": "length" if reason == "length" else "stop",
        "total_duration": 0,
        "load_duration": 0,
        "prompt_eval_count": usage.input,
        "prompt_eval_cached_count": usage.cached,
        "prompt_eval_duration": 0,
        "eval_count": usage.output,
        "eval_duration": 0,
    }


class LineWriter:
    """The lines of one streamed answer."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None:
        self._head = {"model": model, "created_at": _time(created)}
        common = _encode(self._head)[:-1] + b',"message":{"role":"assistant",'
        self._content = common + b'"content":'
        self._thinking = common + b'"content":"","thinking":'
        self._calls = _Calls()

    def start(self) -> bytes:
        return b""

    def content(self, text: Text) -> bytes:
        return b"".join((self._content, text, _TAIL))

    refusal = content

    def reasoning(self, text: Text) -> bytes:
        return b"".join((self._thinking, text, _TAIL))

    def signature(self, text: Text) -> bytes:
        return b""

    redacted = signature

    def call(self, index: int, call: ToolCall) -> bytes:
        self._calls.begin(index, call)
        return b""

    def arguments(self, index: int, piece: Text) -> bytes:
        self._calls.add(index, piece)
        return b""

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        message = {"role": "assistant", "content": ""}
        last = _encode(self._head | {"message": message} | _end(reason, usage)) + b"\n"
        if calls := self._calls.whole():
            said = self._head | {"message": message | {"tool_calls": calls}, "done": False}
            return _encode(said) + b"\n" + last
        return last

    def held(self) -> int:
        return self._calls.bytes


class WholeWriter:
    """Collects an answer, and gives it whole at its end."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None:
        self._head = {"model": model, "created_at": _time(created)}
        self._texts = {"content": bytearray(), "thinking": bytearray()}
        self._calls = _Calls()
        self._bytes = 0

    def start(self) -> bytes:
        return b""

    def content(self, text: Text) -> bytes:
        return self._add("content", text)

    refusal = content

    def reasoning(self, text: Text) -> bytes:
        return self._add("thinking", text)

    def signature(self, text: Text) -> bytes:
        return b""

    redacted = signature

    def call(self, index: int, call: ToolCall) -> bytes:
        self._calls.begin(index, call)
        return b""

    def arguments(self, index: int, piece: Text) -> bytes:
        self._calls.add(index, piece)
        return b""

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        texts = {name: msgspec.Raw(b'"' + bytes(inside) + b'"') for name, inside in self._texts.items()}
        message: dict[str, Any] = {"role": "assistant", "content": texts["content"]}
        if self._texts["thinking"]:
            message["thinking"] = texts["thinking"]
        if calls := self._calls.whole():
            message["tool_calls"] = calls
        return _encode(self._head | {"message": message} | _end(reason, usage))

    def held(self) -> int:
        return self._bytes + self._calls.bytes

    def _add(self, name: str, text: Text) -> bytes:
        piece = bytes(text)[1:-1]
        self._bytes += len(piece)
        if self._bytes > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes")
        self._texts[name] += piece
        return b""
