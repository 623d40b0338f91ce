"""Anthropic's answers -> OpenAI's: named events in a stream, a message unstreamed."""

from __future__ import annotations

import msgspec

from gridtie.dialects import anthropic_errors
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.openai_chat.answer import Call, Frames, completion
from gridtie.dialects.sse import Frames as EventFrames
from gridtie.dialects.sse import parse
from gridtie.dialects.translation import Translation, broken
from gridtie.dialects.types import Chunk, Usage, Whole

_Raw = msgspec.Raw
_EMPTY_TEXT = _Raw(b'""')
_EMPTY_INPUT = _Raw(b"{}")
_EMPTY = 2  # bytes of an empty JSON string: its quotes

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None

    def update(self, later: _Usage) -> None:
        """Counts in a stream are cumulative: a later one replaces an earlier one, a missing one does not."""
        for name in self.__struct_fields__:
            if (value := getattr(later, name)) is not None:
                setattr(self, name, value)

    def read(self) -> Usage:
        """Anthropic counts cached tokens beside its input tokens, not among them."""
        written, cached = self.cache_creation_input_tokens or 0, self.cache_read_input_tokens or 0
        details = self.output_tokens_details
        return Usage(
            input=(self.input_tokens or 0) + written + cached,
            output=self.output_tokens or 0,
            cached=cached,
            cache_write=written,
            reasoning=(details.thinking_tokens or 0) if details else 0,
        )


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _StopDetails(msgspec.Struct):
    explanation: str | None = None


class _Start(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: _Usage | None = None


class _Block(msgspec.Struct):
    type: str
    # Raw: a JSON string passes from one JSON into another without being read.
    text: msgspec.Raw = _EMPTY_TEXT
    thinking: msgspec.Raw = _EMPTY_TEXT
    id: str = ""
    name: str = ""
    input: msgspec.Raw = _EMPTY_INPUT


class _Delta(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = _EMPTY_TEXT
    thinking: msgspec.Raw = _EMPTY_TEXT
    partial_json: str = ""
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None


class _Event(msgspec.Struct):
    """Any event. New types may come, and are passed over; so the types are no tagged union."""

    type: str = ""
    message: _Start | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: anthropic_errors.ErrorObject | None = None


class _WholeBlock(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: msgspec.Raw = _EMPTY_INPUT


class _Message(msgspec.Struct):
    type: str
    id: str = ""
    model: str = ""
    content: list[_WholeBlock] = []
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None
    usage: _Usage = msgspec.field(default_factory=_Usage)
    error: anthropic_errors.ErrorObject | None = None


_event = msgspec.json.Decoder(_Event).decode
_message = msgspec.json.Decoder(_Message).decode


class Stream(Translation):
    """State of one streamed answer; a `StreamDecoder`."""

    def __init__(self, *, client_wants_usage: bool, prompt_estimate: int, created: int) -> None:
        super().__init__(EventFrames(), client_wants_usage=client_wants_usage, prompt_estimate=prompt_estimate)
        self._created = created
        self._counts: _Usage | None = None
        self._stop_reason: str | None = None
        self._calls = 0
        # Of the tool call that is being written: the input it started with, and whether pieces followed.
        self._input: msgspec.Raw | None = None
        self._pieces = False

    def _take(self, unit: bytes, out: list[bytes], chunk: Chunk) -> None:
        frame = parse(unit)
        if frame is None:
            return
        try:
            event = _event(frame.data)
        except UNREADABLE as error:
            chunk.failure = broken(f"Anthropic sent an event that cannot be read: {error}")
            return
        if event.type == "error" or event.error is not None:
            chunk.failure = anthropic_errors.from_error(event.error or anthropic_errors.ErrorObject())
        elif event.type == "message_start":
            self._begin(event.message or _Start())
        elif self._frames is not None:
            self._translate(event, self._frames, out, chunk)

    def _begin(self, start: _Start) -> None:
        self._frames = Frames(start.id, self._created, start.model)
        self._count(start.usage)

    def _translate(self, event: _Event, frames: Frames, out: list[bytes], chunk: Chunk) -> None:
        if event.type == "content_block_delta" and event.delta is not None:
            self._pass_delta(event.delta, frames, out, chunk)
        elif event.type == "content_block_start" and event.content_block is not None:
            self._open_block(event.content_block, frames, out, chunk)
        elif event.type == "content_block_stop":
            self._close_block(frames, out, chunk)
        elif event.type == "message_delta":
            self._count(event.usage)
            self._note_stop(event.delta or _Delta(), frames, out, chunk)
        elif event.type == "message_stop":
            if self._counts is not None:
                self._usage = self._counts.read()
            self._finish(finish_reason(self._stop_reason), frames, out, chunk)

    def _pass_delta(self, delta: _Delta, frames: Frames, out: list[bytes], chunk: Chunk) -> None:
        self._pass_text(delta.thinking, delta.text, frames, out, chunk)
        if delta.partial_json:
            self._pieces = True
            piece = frames.arguments(self._calls - 1, delta.partial_json)
            self._say(piece, len(delta.partial_json), frames, out, chunk)

    def _pass_text(
        self, thinking: msgspec.Raw, text: msgspec.Raw, frames: Frames, out: list[bytes], chunk: Chunk
    ) -> None:
        if (size := len(memoryview(text))) > _EMPTY:
            self._say(frames.content(text), size - _EMPTY, frames, out, chunk)
        if (size := len(memoryview(thinking))) > _EMPTY:
            self._say(frames.reasoning(thinking), size - _EMPTY, frames, out, chunk)

    def _open_block(self, block: _Block, frames: Frames, out: list[bytes], chunk: Chunk) -> None:
        self._pass_text(block.thinking, block.text, frames, out, chunk)
        if block.type == "tool_use":
            call = frames.call(self._calls, Call(block.id, block.name, ""))
            self._say(call, len(block.name), frames, out, chunk)
            self._calls += 1
            self._input, self._pieces = block.input, False

    def _close_block(self, frames: Frames, out: list[bytes], chunk: Chunk) -> None:
        # A call without parameters comes without pieces; OpenAI's clients parse the arguments, so they get JSON.
        if self._input is not None and not self._pieces:
            text = bytes(self._input).decode()
            self._say(frames.arguments(self._calls - 1, text), len(text), frames, out, chunk)
        self._input = None

    def _note_stop(self, delta: _Delta, frames: Frames, out: list[bytes], chunk: Chunk) -> None:
        self._stop_reason = delta.stop_reason
        if delta.stop_details is not None and delta.stop_details.explanation:
            self._say(frames.refusal(delta.stop_details.explanation), 0, frames, out, chunk)

    def _count(self, usage: _Usage | None) -> None:
        if usage is not None:
            self._counts = self._counts or _Usage()
            self._counts.update(usage)

    def _metered(self) -> Usage:
        if self._usage is None and self._counts is not None and self._counts.input_tokens is not None:
            # Broken off: the prompt is known exactly, of the answer only what was seen.
            seen = super()._metered()
            counted = self._counts.read()
            output = max(seen.output, counted.output)
            return msgspec.structs.replace(counted, output=output, estimated=True)
        return super()._metered()


def whole(body: bytes, *, created: int) -> Whole:
    """An unstreamed answer."""
    try:
        message = _message(body)
    except UNREADABLE as error:
        return Whole(b"", failure=broken(f"Anthropic's answer is no message: {error}"))
    if message.error is not None:
        return Whole(b"", failure=anthropic_errors.from_error(message.error))
    if message.type != "message" or message.stop_reason is None:
        return Whole(b"", failure=broken(f"Anthropic's answer is no whole message, but {message.type!r}"))
    usage = message.usage.read()
    calls = [
        Call(block.id, block.name, bytes(block.input).decode()) for block in message.content if block.type == "tool_use"
    ]
    text = "".join(block.text for block in message.content if block.type == "text")
    written = completion(
        id=message.id,
        created=created,
        model=message.model,
        content=text if text or not calls else None,
        reasoning="".join(block.thinking for block in message.content),
        refusal=message.stop_details.explanation if message.stop_details else None,
        calls=calls,
        finish_reason=finish_reason(message.stop_reason),
        usage=usage,
    )
    return Whole(written, usage)


def finish_reason(stop_reason: str | None) -> str:
    """OpenAI's word for how an answer ended; a new reason reads as an ordinary end."""
    return _FINISH_REASONS.get(stop_reason or "", "stop")
