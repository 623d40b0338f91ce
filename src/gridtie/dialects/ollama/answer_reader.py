"""Ollama's answers -> events: one JSON object a line in a stream, the same object unstreamed."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from gridtie.dialects.answer import MakeWriter, ToolCall, Writer
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.ndjson import LineSplitter
from gridtie.dialects.ollama import errors
from gridtie.dialects.openai_chat.usage import PromptDetails, WireUsage, plausible
from gridtie.dialects.surrogates import mended
from gridtie.dialects.translation import EMPTY, Translation, broken
from gridtie.dialects.types import AnswerOptions, Chunk, Failed, Failure

_Raw = msgspec.Raw
_NULL, _TEXT = _Raw(b"null"), _Raw(b'""')
_SSE_DATA = b"data:"
# Bytes of text before a call that is demanded: more is an answer of another kind.
_MAX_BEFORE_CALL = 256 * 1024


class _Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = _NULL


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    # Raw: a JSON string passes from one JSON into another without being read.
    content: msgspec.Raw = _TEXT
    thinking: msgspec.Raw = _TEXT
    tool_calls: list[_ToolCall] | None = None


class _Line(msgspec.Struct):
    """What every line is read for."""

    message: _Message | None = None
    # Of `/api/generate`.
    response: msgspec.Raw = _TEXT
    thinking: msgspec.Raw = _TEXT
    done: bool = False
    error: msgspec.Raw = _NULL


class _Head(msgspec.Struct):
    """What the first line is read for as well; whatever type it has, the answer passes."""

    model: Any = ""
    created_at: Any = ""


class _Tail(msgspec.Struct):
    """What the last line is read for as well. Counts include tokens that came from the prompt cache."""

    done_reason: Any = None
    prompt_eval_count: Any = None
    # Of them, those that came from the cache; since Ollama 0.34.
    prompt_eval_cached_count: Any = None
    eval_count: Any = None


_line = msgspec.json.Decoder(_Line).decode
_head = msgspec.json.Decoder(_Head).decode
_tail = msgspec.json.Decoder(_Tail).decode
_text = msgspec.json.Decoder(str).decode


class Answer(Translation):
    """State of one answer; a `StreamDecoder`."""

    def __init__(self, write: MakeWriter, options: AnswerOptions) -> None:
        super().__init__(LineSplitter(), write, options)
        self._id = ""
        self._calls = 0

    def _take(self, unit: bytes, out: list[bytes], chunk: Chunk) -> None:
        if unit.startswith(_SSE_DATA):
            # Some proxies make events of Ollama's lines.
            unit = unit[len(_SSE_DATA) :]
        try:
            try:
                line = _line(unit)
            except UNREADABLE as error:
                unit = mended(unit, error)
                line = _line(unit)
            writer = self._writer or self._open(unit)
        except UNREADABLE:
            chunk.failure = broken("Ollama sent a line that is no chat answer")
            return
        if line.error is not _NULL and (failure := errors.from_field(line.error)) is not None:
            chunk.failure = failure
            return
        if line.message is not None:
            self._pass_message(line.message, writer, out, chunk)
        else:
            self._text(line.thinking, writer.reasoning, out, chunk)
            self._text(line.response, writer.content, out, chunk)
        if line.done:
            self._finish_with(_last(unit), out, chunk)

    def _open(self, unit: bytes) -> Writer:
        head = _head(unit)
        model, created_at = _string(head.model), _string(head.created_at)
        self._id = _answer_id(model, created_at)
        return self._open_writer(self._id, _unix_time(created_at), model)

    def _pass_message(self, message: _Message, writer: Writer, out: list[bytes], chunk: Chunk) -> None:
        if len(message.thinking) > EMPTY:
            self._text(message.thinking, writer.reasoning, out, chunk)
        if len(message.content) > EMPTY:
            self._text(message.content, writer.content, out, chunk)
        for raw in message.tool_calls or ():
            index, self._calls = self._calls, self._calls + 1
            call = _call(raw, self._id, index)
            if index and self._options.one_tool_call:
                # Ollama cannot be told to stop after one; the model may call again once it has the first's result.
                self._said += len(call.arguments)
                continue
            self._tell_call(index, call, len(call.arguments), out, chunk)

    def _finish_with(self, tail: _Tail, out: list[bytes], chunk: Chunk) -> None:
        prompt, answer = plausible(tail.prompt_eval_count), plausible(tail.eval_count)
        odd = any(isinstance(count, float) for count in (tail.prompt_eval_count, tail.eval_count))
        cached = PromptDetails(plausible(tail.prompt_eval_cached_count))
        self._usage = WireUsage(prompt_tokens=prompt, completion_tokens=answer, prompt_tokens_details=cached, odd=odd)
        self._finish = "length" if tail.done_reason == "length" else "tool_calls" if self._calls else "stop"
        self._end(out, chunk)


class AnswerWithCall(Answer):
    """An answer that has to call a tool.

    Ollama cannot be told so; its answer is judged: nothing passes before a call, and one without any is a failure.
    """

    # What was said before the call; None once it has come.
    _before: list[bytes] | None = None
    _before_bytes = 0

    def _say(self, piece: bytes, said: int, out: list[bytes], chunk: Chunk) -> None:
        if self._calls:
            before, self._before = self._before or [], None
            super()._say(b"".join([*before, piece]), said, out, chunk)
            return
        self._said += said
        chunk.withheld = True
        self._before_bytes += len(piece)
        if self._before is None:
            self._before = []
        self._before.append(piece)
        if self._before_bytes > _MAX_BEFORE_CALL:
            chunk.failure = _no_call()

    def _finish_with(self, tail: _Tail, out: list[bytes], chunk: Chunk) -> None:
        if self._calls:
            super()._finish_with(tail, out, chunk)
        else:
            chunk.failure = chunk.failure or _no_call()


def _no_call() -> Failure:
    message = "the model called no tool, and tool_choice demands a call"
    return Failure(kind=Failed.CAPABILITY, message=message)


def _call(raw: _ToolCall, answer_id: str, index: int) -> ToolCall:
    """A tool call with an id that stays: the server's own, or one made from the answer and its place in it."""
    id = raw.id or f"call_{answer_id.removeprefix('chatcmpl-')}_{index}"
    return ToolCall(id, raw.function.name, _arguments(raw.function.arguments))


def _last(unit: bytes) -> _Tail:
    """What ends an answer says of it; nothing, where it cannot be read: the answer is whole all the same."""
    try:
        return _tail(unit)
    except UNREADABLE:
        return _Tail()


def _arguments(raw: msgspec.Raw) -> str:
    """Arguments as text: of an object its JSON, of a string what it says, of null an empty object."""
    if raw == _NULL:
        return "{}"
    span = bytes(raw)
    try:
        return _text(span) if span[:1] == b'"' else span.decode()
    except UNREADABLE:
        return span.decode("utf-8", "replace")


def _answer_id(model: str, created_at: str) -> str:
    """Ollama names no answer. Its time stamp counts nanoseconds, so with the model it is a name."""
    return "chatcmpl-" + blake2b(f"{model} {created_at}".encode("utf-8", "replace"), digest_size=12).hexdigest()


def _unix_time(stamp: str) -> int:
    try:
        return int(datetime.fromisoformat(stamp).timestamp())
    except (ValueError, OverflowError):
        return 0


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
