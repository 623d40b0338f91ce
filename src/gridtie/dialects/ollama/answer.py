"""Ollama's answers -> OpenAI's: one JSON object a line in a stream, the same object unstreamed."""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b

import msgspec

from gridtie.dialects import ollama_errors
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.ndjson import Lines
from gridtie.dialects.openai_chat.answer import Call, Frames, completion
from gridtie.dialects.openai_chat.usage import BYTES_PER_TOKEN, estimate
from gridtie.dialects.translation import Translation, broken
from gridtie.dialects.types import Chunk, Usage, Whole

_Raw = msgspec.Raw
_EMPTY = 2  # bytes of an empty JSON string: its quotes


class _Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = _Raw(b"{}")


class _ToolCall(msgspec.Struct):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct):
    # Raw: a JSON string passes from one JSON into another without being read.
    content: msgspec.Raw = _Raw(b'""')
    thinking: msgspec.Raw = _Raw(b'""')
    tool_calls: list[_ToolCall] | None = None


class _Line(msgspec.Struct):
    """What every line is read for."""

    message: _Message | None = None
    done: bool = False
    error: str | None = None


class _Head(msgspec.Struct):
    """What the first line is read for as well."""

    model: str = ""
    created_at: str = ""


class _Tail(_Head):
    """What the last line is read for as well. Counts include tokens that came from the prompt cache."""

    done_reason: str | None = None
    prompt_eval_count: int = 0
    eval_count: int = 0


class _WholeMessage(msgspec.Struct):
    content: str = ""
    thinking: str = ""
    tool_calls: list[_ToolCall] | None = None


class _WholeAnswer(_Tail):
    message: _WholeMessage | None = None
    done: bool = False
    error: str | None = None


_line = msgspec.json.Decoder(_Line).decode
_head = msgspec.json.Decoder(_Head).decode
_tail = msgspec.json.Decoder(_Tail).decode
_whole = msgspec.json.Decoder(_WholeAnswer).decode


class Stream(Translation):
    """State of one streamed answer; a `StreamDecoder`."""

    def __init__(self, *, client_wants_usage: bool, prompt_estimate: int) -> None:
        super().__init__(Lines(), client_wants_usage=client_wants_usage, prompt_estimate=prompt_estimate)
        self._id = ""
        self._calls = 0

    def _take(self, unit: bytes, out: list[bytes], chunk: Chunk) -> None:
        try:
            line = _line(unit)
            frames = self._frames or self._begin(unit)
        except UNREADABLE as error:
            chunk.failure = broken(f"Ollama sent a line that is no chat answer: {error}")
            return
        if line.error is not None:
            chunk.failure = ollama_errors.from_text(line.error)
            return
        if line.message is not None:
            self._pass_message(line.message, frames, out, chunk)
        if line.done:
            self._end(unit, frames, out, chunk)

    def _begin(self, unit: bytes) -> Frames:
        head = _head(unit)
        self._id = _answer_id(head)
        self._frames = Frames(self._id, _unix_time(head.created_at), head.model)
        return self._frames

    def _pass_message(self, message: _Message, frames: Frames, out: list[bytes], chunk: Chunk) -> None:
        if (size := len(memoryview(message.thinking))) > _EMPTY:
            self._say(frames.reasoning(message.thinking), size - _EMPTY, frames, out, chunk)
        if (size := len(memoryview(message.content))) > _EMPTY:
            self._say(frames.content(message.content), size - _EMPTY, frames, out, chunk)
        for raw in message.tool_calls or ():
            call = _call(raw, self._id, self._calls)
            self._say(frames.call(self._calls, call), len(call.arguments), frames, out, chunk)
            self._calls += 1

    def _end(self, unit: bytes, frames: Frames, out: list[bytes], chunk: Chunk) -> None:
        tail = _tail(unit)
        self._usage = _usage(tail)
        self._finish(_finish_reason(tail.done_reason, called=self._calls > 0), frames, out, chunk)


def whole(body: bytes, prompt_estimate: int) -> Whole:
    """An unstreamed answer."""
    try:
        answer = _whole(body)
    except UNREADABLE as error:
        return Whole(b"", failure=broken(f"Ollama's answer is no chat answer: {error}"))
    if answer.error is not None:
        return Whole(b"", failure=ollama_errors.from_text(answer.error))
    if not answer.done or answer.message is None:
        return Whole(b"", failure=broken("Ollama ended its answer before it was complete"))
    answer_id = _answer_id(answer)
    message = answer.message
    calls = [_call(raw, answer_id, index) for index, raw in enumerate(message.tool_calls or ())]
    said = len(message.content) + len(message.thinking) + sum(len(call.arguments) for call in calls)
    usage = _usage(answer) or estimate(prompt_estimate, said // BYTES_PER_TOKEN)
    written = completion(
        id=answer_id,
        created=_unix_time(answer.created_at),
        model=answer.model,
        content=message.content if message.content or not calls else None,
        reasoning=message.thinking,
        calls=calls,
        finish_reason=_finish_reason(answer.done_reason, called=bool(calls)),
        usage=usage,
    )
    return Whole(written, usage)


def _usage(tail: _Tail) -> Usage | None:
    """None where the server counted nothing."""
    if not tail.prompt_eval_count and not tail.eval_count:
        return None
    return Usage(input=tail.prompt_eval_count, output=tail.eval_count)


def _finish_reason(reason: str | None, *, called: bool) -> str:
    if reason == "length":
        return "length"
    return "tool_calls" if called else "stop"


def _call(raw: _ToolCall, answer_id: str, index: int) -> Call:
    """A tool call with an id that stays: the server's own, or one made from the answer and its place in it."""
    name = raw.function.name
    return Call(
        raw.id or f"call_{answer_id.removeprefix('chatcmpl-')}_{index}", name, bytes(raw.function.arguments).decode()
    )


def _answer_id(head: _Head) -> str:
    """Ollama names no answer. Its time stamp counts nanoseconds, so with the model it is a name."""
    return "chatcmpl-" + blake2b(f"{head.model} {head.created_at}".encode(), digest_size=12).hexdigest()


def _unix_time(stamp: str) -> int:
    try:
        return int(datetime.fromisoformat(stamp).timestamp())
    except ValueError:
        return 0
