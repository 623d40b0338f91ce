"""Anthropic's answers -> events: named ones in a stream, a message unstreamed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from gridtie.dialects.answer import AnswerTooLarge, Finish, MakeWriter, ToolCall, Writer
from gridtie.dialects.anthropic import errors
from gridtie.dialects.anthropic.usage import Counts
from gridtie.dialects.facts import BYTES_PER_TOKEN
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.openai_chat.usage import from_wire
from gridtie.dialects.sse import EventSplitter, parse
from gridtie.dialects.surrogates import mended
from gridtie.dialects.translation import EMPTY, Translation, broken
from gridtie.dialects.types import MAX_ANSWER_BYTES, AnswerOptions, Chunk, Usage

_Raw = msgspec.Raw
_NULL, _TEXT, _NO_INPUT = _Raw(b"null"), _Raw(b'""'), _Raw(b"{}")

_FINISH_REASONS: dict[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _StopDetails(msgspec.Struct):
    explanation: msgspec.Raw = _NULL


class _Start(msgspec.Struct):
    id: Any = ""
    model: Any = ""
    usage: Any = None


class _Block(msgspec.Struct):
    type: str
    # Raw: a JSON string passes from one JSON into another without being read.
    text: msgspec.Raw = _TEXT
    thinking: msgspec.Raw = _TEXT
    signature: msgspec.Raw = _TEXT
    # Of reasoning that is encrypted.
    data: msgspec.Raw = _TEXT
    id: Any = ""
    name: Any = ""
    input: msgspec.Raw = _NO_INPUT


class _Delta(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = _TEXT
    thinking: msgspec.Raw = _TEXT
    signature: msgspec.Raw = _TEXT
    partial_json: msgspec.Raw = _TEXT
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


class _Event(msgspec.Struct):
    """Any event. New types may come, and are passed over; so the types are no tagged union."""

    type: str = ""
    message: _Start | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: Any = None
    error: msgspec.Raw = _NULL


class _Message(_Start):
    type: str = ""
    content: list[_Block] = []
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None
    error: msgspec.Raw = _NULL


_event = msgspec.json.Decoder(_Event).decode
_message = msgspec.json.Decoder(_Message).decode
_encode = msgspec.json.Encoder().encode


class Answer(Translation):
    """State of one answer; a `StreamDecoder`."""

    # A message that comes whole to a request for a stream is used all the same.
    _documents = True

    def __init__(self, write: MakeWriter, options: AnswerOptions) -> None:
        super().__init__(EventSplitter(), write, options)
        self._counts = Counts()
        self._calls = 0
        # Of the tool call that is being written: the input it started with, and whether pieces followed.
        self._input: msgspec.Raw | None = None
        self._pieces = False
        # What the client gets with the first content: what was sealed before it.
        self._early = bytearray()

    def _take(self, unit: bytes, out: list[bytes], chunk: Chunk) -> None:
        frame = parse(unit)
        if frame is None or frame.name == "ping":
            chunk.frames -= 1
            return
        try:
            try:
                event = _event(frame.data)
            except UNREADABLE as error:
                event = _event(mended(frame.data, error))
        except UNREADABLE:
            chunk.failure = broken("Anthropic sent an event that cannot be read")
            return
        if event.type == "error" or (event.error is not _NULL and errors.present(event.error)):
            chunk.failure = errors.from_field(event.error)
        elif event.type == "message_start":
            self._start(event.message or _Start())
        elif self._writer is not None:
            self._translate(event, self._writer, out, chunk)

    def _take_document(self, document: bytes, out: list[bytes], chunk: Chunk) -> None:
        try:
            try:
                message = _message(document)
            except UNREADABLE as error:
                message = _message(mended(document, error))
        except UNREADABLE:
            chunk.failure = broken("Anthropic's answer is no message")
            return
        if errors.present(message.error):
            chunk.failure = errors.from_field(message.error)
        elif message.type != "message" or message.stop_reason is None:
            chunk.failure = broken("Anthropic's answer is no whole message")
        else:
            writer = self._start(message)
            for block in message.content:
                self._open_block(block, writer, out, chunk)
                self._close_block(writer, out, chunk)
            self._note_stop(message.stop_reason, message.stop_details, writer, out, chunk)
            self._end(out, chunk)

    def _start(self, start: _Start) -> Writer:
        self._counts.update(start.usage)
        return self._open_writer(_string(start.id), self._options.created, _string(start.model))

    def _translate(self, event: _Event, writer: Writer, out: list[bytes], chunk: Chunk) -> None:
        if event.type == "content_block_delta" and event.delta is not None:
            self._pass_delta(event.delta, writer, out, chunk)
        elif event.type == "content_block_start" and event.content_block is not None:
            self._open_block(event.content_block, writer, out, chunk)
        elif event.type == "content_block_stop":
            self._close_block(writer, out, chunk)
        elif event.type == "message_delta":
            self._counts.update(event.usage)
            if event.delta is not None:
                self._note_stop(event.delta.stop_reason, event.delta.stop_details, writer, out, chunk)
        elif event.type == "message_stop":
            self._end(out, chunk)

    def _pass_delta(self, delta: _Delta, writer: Writer, out: list[bytes], chunk: Chunk) -> None:
        if len(delta.text) > EMPTY:
            self._text(delta.text, writer.content, out, chunk)
        if len(delta.thinking) > EMPTY:
            self._text(delta.thinking, writer.reasoning, out, chunk)
        if len(delta.signature) > EMPTY:
            self._seal(delta.signature, writer.signature, out)
        if len(delta.partial_json) > EMPTY and self._calls:
            self._pieces = True
            piece = writer.arguments(self._calls - 1, delta.partial_json)
            self._say(piece, len(delta.partial_json) - EMPTY, out, chunk)

    def _open_block(self, block: _Block, writer: Writer, out: list[bytes], chunk: Chunk) -> None:
        self._text(block.thinking, writer.reasoning, out, chunk)
        self._seal(block.signature, writer.signature, out)
        self._seal(block.data, writer.redacted, out)
        self._text(block.text, writer.content, out, chunk)
        if block.type == "tool_use":
            call = ToolCall(_string(block.id), _string(block.name), "")
            self._tell_call(self._calls, call, len(call.name), out, chunk)
            self._calls += 1
            self._input, self._pieces = block.input, False

    def _seal(self, sealed: msgspec.Raw, write: Callable[[bytes], bytes], out: list[bytes]) -> None:
        """What only Anthropic can read: a signature, which follows its reasoning where that is shown, or encrypted
        reasoning. It is no content, and commits no answer."""
        if len(sealed) > EMPTY:
            piece = write(bytes(sealed))
            if self._opened:
                out.append(piece)
            else:
                self._early += piece
                if len(self._early) > MAX_ANSWER_BYTES:
                    raise AnswerTooLarge(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes")

    def held(self) -> int:
        return super().held() + len(self._early)

    def _say(self, piece: bytes, said: int, out: list[bytes], chunk: Chunk) -> None:
        if self._early:
            piece = bytes(self._early + piece)
            self._early.clear()
        super()._say(piece, said, out, chunk)

    def _close_block(self, writer: Writer, out: list[bytes], chunk: Chunk) -> None:
        # A call without parameters comes without pieces; OpenAI's clients parse the arguments, so they get JSON.
        if self._input is not None and not self._pieces:
            text = b"{}" if self._input == _NULL else bytes(self._input)
            piece = writer.arguments(self._calls - 1, _encode(text.decode("utf-8", "replace")))
            self._say(piece, len(text), out, chunk)
        self._input = None

    def _note_stop(
        self, reason: str | None, details: _StopDetails | None, writer: Writer, out: list[bytes], chunk: Chunk
    ) -> None:
        if details is not None:
            self._text(details.explanation, writer.refusal, out, chunk)
        if reason is not None:
            self._finish = finish_reason(reason)
            # Nothing is missing any more but the end mark.
            chunk.content = True

    def usage(self) -> Usage:
        seen = self._said // BYTES_PER_TOKEN
        broken_off = self._finish is None
        return from_wire(
            self._counts.wire(broken_off=broken_off),
            self._options.prompt_estimate,
            # Broken off: the prompt is known exactly, of the answer only what was seen.
            max(seen, self._counts.output) if broken_off else seen,
        )


def finish_reason(stop_reason: str) -> Finish:
    """How an answer ended; a new reason reads as an ordinary end."""
    return _FINISH_REASONS.get(stop_reason, "stop")


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
