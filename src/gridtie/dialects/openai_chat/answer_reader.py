"""OpenAI's answers -> events: frames of a stream, a completion unstreamed."""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.answer import Finish, MakeWriter, ToolCall, Writer
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import form
from gridtie.dialects.openai_chat import errors, usage
from gridtie.dialects.openai_chat.reform import chunks_of
from gridtie.dialects.sse import EventSplitter, parse
from gridtie.dialects.surrogates import mended
from gridtie.dialects.translation import EMPTY, Translation, broken
from gridtie.dialects.types import AnswerOptions, Chunk

_Raw = msgspec.Raw
_NULL, _TEXT = _Raw(b"null"), _Raw(b'""')
_DONE = b"[DONE]"
_FINISH_REASONS: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: msgspec.Raw = _NULL


class _Piece(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    # Raw: a JSON string passes from one JSON into another without being read.
    content: msgspec.Raw = _NULL
    reasoning_content: msgspec.Raw = _NULL
    reasoning: msgspec.Raw = _NULL
    refusal: msgspec.Raw = _NULL
    tool_calls: list[_Piece] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    # Of a completion that is no chat.
    text: msgspec.Raw = _NULL
    finish_reason: str | None = None
    index: int = 0


class _Frame(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class _Head(msgspec.Struct):
    """What the first frame is read for as well; whatever type it has, the answer passes."""

    id: Any = ""
    created: Any = 0
    model: Any = ""


_frame = msgspec.json.Decoder(_Frame).decode
_head = msgspec.json.Decoder(_Head).decode
_encode = msgspec.json.Encoder().encode


class Answer(Translation):
    """State of one answer; a `StreamDecoder`."""

    # A completion that comes whole to a request for a stream is used all the same.
    _documents = True

    def __init__(self, write: MakeWriter, options: AnswerOptions) -> None:
        super().__init__(EventSplitter(), write, options)
        self._id = ""
        # The server's number of a call -> ours, which has no gaps.
        self._calls: dict[int, int] = {}

    def _take(self, unit: bytes, out: list[bytes], chunk: Chunk) -> None:
        event = parse(unit)
        if event is None or event.name == "ping" or not (data := event.data.strip()):
            chunk.frames -= 1
            return
        if data == _DONE:
            self._end_marked(out, chunk)
            return
        try:
            try:
                frame = _frame(data)
            except msgspec.ValidationError:
                raise
            except UNREADABLE as error:
                data = mended(data, error)
                frame = _frame(data)
        except UNREADABLE:
            chunk.failure = broken("the upstream sent an event that cannot be read")
            return
        if event.name == "error" or (frame.error is not _NULL and errors.present(frame.error)):
            chunk.failure = errors.from_error(errors.read(data))
            return
        writer = self._writer or self._open(data)
        if frame.usage is not _NULL:
            self._usage = usage.read(frame.usage, data) or self._usage
        for choice in frame.choices or ():
            if choice.index == 0:
                self._pass(choice, data, writer, out, chunk)
            if chunk.failure is not None:
                return

    def _take_document(self, document: bytes, out: list[bytes], chunk: Chunk) -> None:
        try:
            frames = chunks_of(document)
        except UNREADABLE:
            frames = []
        for frame in frames:
            self._take(frame, out, chunk)
            if chunk.failure is not None:
                return
        if self._finish is not None:
            self._end(out, chunk)
            return
        try:
            error = errors.read_present(document)
        except UNREADABLE:
            error = None
        what = f"the upstream sent {form(document)} instead of a stream"
        chunk.failure = errors.from_error(error) if error else broken(what)

    def _open(self, data: bytes) -> Writer:
        head = _head(data)
        created = head.created if isinstance(head.created, int) else 0
        self._id = _string(head.id)
        return self._open_writer(self._id, created or self._options.created, _string(head.model))

    def _pass(self, choice: _Choice, data: bytes, writer: Writer, out: list[bytes], chunk: Chunk) -> None:
        delta = choice.delta
        if delta is not None:
            # Most frames hold a text and nothing else.
            if len(delta.content) > EMPTY:
                self._text(delta.content, writer.content, out, chunk)
            if delta.reasoning_content is not _NULL:
                self._text(delta.reasoning_content, writer.reasoning, out, chunk)
            elif delta.reasoning is not _NULL:
                self._text(delta.reasoning, writer.reasoning, out, chunk)
            if delta.refusal is not _NULL:
                self._text(delta.refusal, writer.refusal, out, chunk)
            for piece in delta.tool_calls or ():
                self._pass_piece(piece, writer, out, chunk)
        elif choice.text is not _NULL:
            self._text(choice.text, writer.content, out, chunk)
        if choice.finish_reason == "error":
            # OpenRouter's word for an answer that its provider broke off.
            chunk.failure = errors.from_error(errors.read(data))
        elif choice.finish_reason:
            finish = _FINISH_REASONS.get(choice.finish_reason, "stop")
            # Some servers call a tool and say that they stopped.
            self._finish = "tool_calls" if finish == "stop" and self._calls else finish
            # Nothing is missing any more but the usage and the end mark.
            chunk.content = True

    def _pass_piece(self, piece: _Piece, writer: Writer, out: list[bytes], chunk: Chunk) -> None:
        function = piece.function or _Function()
        arguments = bytes(function.arguments)
        if arguments[:1] == b"{":
            # An object where its text belongs.
            arguments = _encode(arguments.decode("utf-8", "replace"))
        key = piece.index if piece.index is not None else len(self._calls)
        index = self._calls.get(key)
        if index is None:
            index = self._calls[key] = len(self._calls)
            # Not the place alone: the next answer of the conversation has a first call, too.
            id = piece.id or f"call_{self._id.removeprefix('chatcmpl-')}_{index}"
            self._tell_call(index, ToolCall(id, function.name or "", ""), len(id), out, chunk)
        self._text(_Raw(arguments), lambda text: writer.arguments(index, text), out, chunk)

    def _end_marked(self, out: list[bytes], chunk: Chunk) -> None:
        if not self._opened and self._finish is None:
            # Nothing was said and nothing finished: an end mark alone is not an answer.
            chunk.failure = broken("the upstream ended its stream without an answer")
            return
        if self._finish is None:
            self._finish = "tool_calls" if self._calls else "stop"
        self._end(out, chunk)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
