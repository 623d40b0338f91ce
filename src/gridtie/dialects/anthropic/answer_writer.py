"""Events -> Anthropic's answers, streamed and whole."""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.answer import MIXED_CALLS, AnswerTooLarge, Finish, Text, ToolCall, Unwritable
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.types import MAX_ANSWER_BYTES, AnswerOptions, Usage

_encode = msgspec.json.Encoder().encode
_text = msgspec.json.Decoder(str).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_MESSAGE = {"type": "message", "role": "assistant"}
_TAIL = b"}}\n\n"


def to_wire(usage: Usage) -> dict[str, object]:
    """The `usage` object that Anthropic's clients read: cached tokens stand beside the input tokens there."""
    return {
        "input_tokens": max(0, usage.input - usage.cached - usage.cache_write),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _stop_reason(reason: Finish, *, refused: bool) -> str:
    return "refusal" if refused else _STOP_REASONS[reason]


_UNSIGNED = msgspec.Raw(b'""')


class EventWriter:
    """The events of one streamed answer: blocks one after another, each begun and ended."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None:
        usage = to_wire(Usage(input=options.prompt_estimate, output=0))
        stop = {"stop_reason": None, "stop_sequence": None}
        message = _MESSAGE | {"id": id or "msg", "model": model, "content": []} | stop | {"usage": usage}
        self._start = _event("message_start", {"message": message})
        # The block that is open: what kind it is, and its number; -1 before the first.
        self._kind = ""
        self._index = -1
        # Of each call its block.
        self._blocks: dict[int, int] = {}
        self._refused = False
        # What stands before a text, made once a block: this runs once per token.
        self._delta = b""

    def start(self) -> bytes:
        return self._start

    def content(self, text: Text) -> bytes:
        if self._kind == "text":
            return b"".join((self._delta, text, _TAIL))
        opened = self._open("text", {"type": "text", "text": ""})
        self._delta = _delta_head(self._index, b"text_delta", b"text")
        return b"".join((opened, self._delta, text, _TAIL))

    def reasoning(self, text: Text) -> bytes:
        if self._kind == "thinking":
            return b"".join((self._delta, text, _TAIL))
        opened = self._open("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._delta = _delta_head(self._index, b"thinking_delta", b"thinking")
        return b"".join((opened, self._delta, text, _TAIL))

    def signature(self, text: Text) -> bytes:
        opened = b"" if self._kind == "thinking" else self.reasoning(b'""')
        # Reasoning that follows has a signature of its own.
        head = _delta_head(self._index, b"signature_delta", b"signature")
        return b"".join((opened, head, text, _TAIL, self._close()))

    def redacted(self, data: Text) -> bytes:
        block = {"type": "redacted_thinking", "data": msgspec.Raw(bytes(data))}
        return self._open("redacted_thinking", block) + self._close()

    def refusal(self, text: Text) -> bytes:
        self._refused = True
        return self.content(text)

    def call(self, index: int, call: ToolCall) -> bytes:
        block = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        opened = self._open("tool_use", block)
        self._blocks[index] = self._index
        return opened + self.arguments(index, _encode(call.arguments)) if call.arguments else opened

    def arguments(self, index: int, piece: Text) -> bytes:
        if self._blocks[index] != self._index or not self._kind:
            raise Unwritable(MIXED_CALLS)
        head = _delta_head(self._blocks[index], b"input_json_delta", b"partial_json")
        return b"".join((head, piece, _TAIL))

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        stop = {"stop_reason": _stop_reason(reason, refused=self._refused), "stop_sequence": None}
        finish = _event("message_delta", {"delta": stop, "usage": to_wire(usage)})
        return b"".join((self._close(), finish, _event("message_stop", {})))

    def held(self) -> int:
        return 0

    def _open(self, kind: str, block: dict[str, Any]) -> bytes:
        closed = self._close()
        self._kind = kind
        self._index += 1
        return closed + _event("content_block_start", {"index": self._index, "content_block": block})

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        return _event("content_block_stop", {"index": self._index})


class WholeWriter:
    """Collects an answer, and gives it whole at its end."""

    def __init__(self, id: str, created: int, model: str, options: AnswerOptions) -> None:
        self._head = _MESSAGE | {"id": id or "msg", "model": model}
        # Not lists of pieces: an object a token is ten times the text.
        self._blocks: list[_Block] = []
        self._calls: dict[int, _Block] = {}
        self._refused = False
        self._bytes = 0

    def start(self) -> bytes:
        return b""

    def content(self, text: Text) -> bytes:
        return self._add(self._last("text"), text)

    def reasoning(self, text: Text) -> bytes:
        return self._add(self._last("thinking"), text)

    def signature(self, text: Text) -> bytes:
        self._last("thinking").signature = msgspec.Raw(bytes(text))
        return b""

    def redacted(self, data: Text) -> bytes:
        block = _Block("redacted_thinking")
        self._blocks.append(block)
        return self._add(block, data)

    def refusal(self, text: Text) -> bytes:
        self._refused = True
        return self.content(text)

    def call(self, index: int, call: ToolCall) -> bytes:
        block = self._calls[index] = _Block("tool_use", call)
        self._blocks.append(block)
        return self._add(block, _encode(call.arguments))

    def arguments(self, index: int, piece: Text) -> bytes:
        return self._add(self._calls[index], piece)

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        stop = {"stop_reason": _stop_reason(reason, refused=self._refused), "stop_sequence": None}
        content = [block.whole() for block in self._blocks]
        return _encode(self._head | {"content": content} | stop | {"usage": to_wire(usage)})

    def held(self) -> int:
        return self._bytes

    def _last(self, kind: str) -> _Block:
        """The block that is being written, or a new one where that is of another kind."""
        if not self._blocks or self._blocks[-1].kind != kind or self._blocks[-1].signature != _UNSIGNED:
            self._blocks.append(_Block(kind))
        return self._blocks[-1]

    def _add(self, block: _Block, text: Text) -> bytes:
        piece = bytes(text)[1:-1]
        self._bytes += len(piece)
        if self._bytes > MAX_ANSWER_BYTES:
            raise AnswerTooLarge(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes")
        block.inside += piece
        return b""


class _Block:
    """A block while its pieces are collected; `inside` is a JSON string without its quotes."""

    def __init__(self, kind: str, call: ToolCall | None = None) -> None:
        self.kind = kind
        self.call = call
        self.inside = bytearray()
        self.signature = _UNSIGNED

    def whole(self) -> dict[str, Any]:
        text = msgspec.Raw(b'"' + bytes(self.inside) + b'"')
        if self.call is not None:
            return {"type": "tool_use", "id": self.call.id, "name": self.call.name, "input": _input(text)}
        if self.kind == "thinking":
            return {"type": "thinking", "thinking": text, "signature": self.signature}
        if self.kind == "redacted_thinking":
            return {"type": self.kind, "data": text}
        return {"type": "text", "text": text}


def _input(text: msgspec.Raw) -> msgspec.Raw:
    """A call's arguments as the object that Anthropic's clients are given."""
    try:
        span = _text(text).strip().encode() or b"{}"
        _object(span)
    except (*UNREADABLE, UnicodeEncodeError):
        raise Unwritable("the model called a tool with arguments that are no JSON object") from None
    return msgspec.Raw(span)


def _delta_head(index: int, kind: bytes, field: bytes) -> bytes:
    return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":' % (
        index,
        kind,
        field,
    )


def _event(type: str, fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (type.encode(), _encode({"type": type} | fields))
