"""Answers of OpenAI's dialect in another form than was asked for: a whole one as a stream, a stream as a whole one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.openai_chat import errors
from gridtie.dialects.openai_chat.answer_writer import Message, completion
from gridtie.dialects.sse import EventSplitter, parse
from gridtie.dialects.surrogates import mended
from gridtie.dialects.types import MAX_ANSWER_BYTES
from gridtie.dialects.values import FREE_BYTES, MOST_VALUES, too_many

_Raw = msgspec.Raw
_NULL, _STOP = _Raw(b"null"), _Raw(b'"stop"')
_DONE = b"[DONE]"
_STRING = ord('"')
# Of one answer: each of 128 texts of a completion may be answered so many times.
MOST_CHOICES = 128 * 128

_Fields = dict[str, _Raw]


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Fields | None = None
    delta: _Fields | None = None
    # Of a completion that is no chat.
    text: msgspec.Raw = _NULL
    finish_reason: msgspec.Raw = _NULL


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []
    id: msgspec.Raw = _Raw(b'""')
    created: msgspec.Raw = _Raw(b"0")
    model: msgspec.Raw = _Raw(b'""')
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL

    def head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


class _Function(msgspec.Struct):
    name: msgspec.Raw = _NULL
    arguments: msgspec.Raw = _NULL


class _CallPiece(msgspec.Struct):
    index: int = 0
    id: msgspec.Raw = _NULL
    function: _Function | None = None


_answer = msgspec.json.Decoder(_Answer).decode
_fields_list = msgspec.json.Decoder(list[_Fields]).decode
_call_pieces = msgspec.json.Decoder(list[_CallPiece]).decode
_encode = msgspec.json.Encoder().encode


class Unusable(ValueError):
    """A body that is no answer in any form; `error` is upstream's own, where it holds one."""

    def __init__(self, what: str, error: errors.ErrorObject | None = None) -> None:
        super().__init__(what)
        self.error = error


def chunks_of(document: bytes) -> list[bytes]:
    """The frames of a stream that says what a whole completion, or a list of chunks in lines, says.

    Raises `UNREADABLE`; empty where there is no answer in it, or one of more choices or lines than any has.
    """
    try:
        answer = _answer(document)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return chunks_of(mended(document, error))
        if document.count(b"\n") > MOST_VALUES:
            return []
        return [b"data: " + line.strip() + b"\n\n" for line in document.splitlines() if line.strip()]
    if errors.present(answer.error) or len(answer.choices) > MOST_CHOICES:
        return []
    deltas = [choice for choice in answer.choices if choice.message is not None or choice.delta is not None]
    frames = [_frame(answer, [_said(choice)]) for choice in deltas]
    frames += [_frame(answer, [_finish(choice)]) for choice in deltas]
    if deltas and answer.usage != _NULL:
        frames.append(_event(answer.head("chat.completion.chunk") | {"choices": [], "usage": answer.usage}))
    return frames


def whole_of(stream: bytes) -> bytes:
    """The whole completion that a stream of events adds up to. Raises `Unusable` and `UNREADABLE`."""
    if stream.count(b"\n\n") > MOST_VALUES:
        raise Unusable(f"the upstream sent more than {MOST_VALUES} events instead of an answer")
    head: dict[str, Any] = {}
    messages: dict[int, Message] = {}
    finishes: dict[int, msgspec.Raw] = {}
    usage = _NULL
    ended = in_texts = False
    for data in _events(stream):
        if data == _DONE:
            ended = True
            continue
        try:
            chunk = _answer(data)
        except UNREADABLE as error:
            data = mended(data, error)
            chunk = _answer(data)
        if errors.present(chunk.error):
            raise Unusable("the upstream reported an error inside its answer", errors.read(data))
        head = head or chunk.head("chat.completion")
        usage = chunk.usage if chunk.usage != _NULL else usage
        for choice in chunk.choices:
            message = messages.setdefault(choice.index, Message())
            _add(message, choice.delta or choice.message or {})
            if choice.text != _NULL:
                in_texts = True
                message.say("content", _text(choice.text) or b'""')
            if choice.finish_reason != _NULL:
                finishes[choice.index] = choice.finish_reason
    if not messages or not (ended or messages.keys() == finishes.keys()):
        raise Unusable("the upstream ended its stream before the answer was complete")
    choices = [message.choice(index, finishes.get(index, _STOP)) for index, message in sorted(messages.items())]
    if in_texts:
        head["object"] = "text_completion"
        choices = [_without_message(choice) for choice in choices]
    return completion(head, choices, usage)


def _without_message(choice: dict[str, Any]) -> dict[str, Any]:
    """A choice of a completion, which has a text and no message."""
    text = choice["message"]["content"]
    return {"index": choice["index"], "text": text, "logprobs": None, "finish_reason": choice["finish_reason"]}


def _events(stream: bytes) -> Iterator[bytes]:
    splitter = EventSplitter(MAX_ANSWER_BYTES)
    frames = splitter.feed(stream)
    frames.append(splitter.flush())
    for frame in frames:
        event = parse(frame)
        if event is not None and event.data.strip():
            yield event.data.strip()


def _add(message: Message, delta: _Fields) -> None:
    for name, value in delta.items():
        if name == "tool_calls" and value != _NULL:
            for piece in _call_pieces(value):
                function = piece.function or _Function()
                message.call(piece.index, _text(piece.id), _text(function.name), _text(function.arguments))
        elif name == "reasoning":
            message.say("reasoning_content", _text(value) or b'""')
        elif name in ("content", "reasoning_content", "refusal") and _text(value):
            message.say(name, value)


def _text(value: msgspec.Raw) -> bytes:
    """The span of a string; empty for null and everything else."""
    span = bytes(value)
    return span if span[:1] == b'"' else b""


def _said(choice: _Choice) -> dict[str, Any]:
    delta: dict[str, Any] = dict(choice.message or choice.delta or {})
    calls = delta.get("tool_calls", _NULL)
    if calls != _NULL and not (len(calls) > FREE_BYTES and too_many(bytes(calls))):
        numbered = ({"index": index} | call for index, call in enumerate(_fields_list(calls)))
        delta["tool_calls"] = list(numbered)
    return {"index": choice.index, "delta": delta, "finish_reason": None}


def _finish(choice: _Choice) -> dict[str, Any]:
    reason = choice.finish_reason if choice.finish_reason != _NULL else _STOP
    return {"index": choice.index, "delta": {}, "finish_reason": reason}


def _frame(answer: _Answer, choices: list[dict[str, Any]]) -> bytes:
    return _event(answer.head("chat.completion.chunk") | {"choices": choices})


def _event(fields: dict[str, Any]) -> bytes:
    data = _encode(fields)
    if b"\n" in data or b"\r" in data:
        # White space of a body that was written for people would end the event.
        data = msgspec.json.format(data, indent=-1)
    return b"data: " + data + b"\n\n"
