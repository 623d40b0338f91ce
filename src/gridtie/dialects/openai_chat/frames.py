"""Reading one frame of an OpenAI stream: what it says, what it ends, what it reports."""

from __future__ import annotations

import re

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.openai_chat import errors
from gridtie.dialects.sse import Event
from gridtie.dialects.surrogates import mended

_Raw = msgspec.Raw
NULL = _Raw(b"null")
# Values that say nothing, whichever field they stand in.
NOTHING = (NULL, _Raw(b'""'), _Raw(b"[]"), _Raw(b"{}"), _Raw(b"false"))
_FAILED = _Raw(b'"error"')
# A piece of a tool call with no piece in it, as a server may send to keep a stream open.
_EMPTY_PIECE = re.compile(rb'\[\{"index": ?\d+, ?"function": ?\{"arguments": ?""\}\}\]')


class Heard(msgspec.Struct):
    """What one frame came to."""

    # Text, reasoning, a refusal, a tool delta or a finish.
    content: bool = False
    # The choices that it says something for, and those that it ends.
    spoken: int = 0
    finished: list[int] = []
    # Nothing but usage stands in it.
    alone: bool = False
    usage: msgspec.Raw | None = None
    # What the usage stands in.
    said: bytes = b""
    error: errors.ErrorObject | None = None


class _Delta(msgspec.Struct):
    """What can be said in a delta; everything raw, as any of it may have any shape."""

    content: msgspec.Raw = NULL
    reasoning_content: msgspec.Raw = NULL
    reasoning: msgspec.Raw = NULL
    tool_calls: msgspec.Raw = NULL
    refusal: msgspec.Raw = NULL
    function_call: msgspec.Raw = NULL
    audio: msgspec.Raw = NULL
    images: msgspec.Raw = NULL

    def says_something(self) -> bool:
        return (
            self.content not in NOTHING
            or self.reasoning_content not in NOTHING
            or self.reasoning not in NOTHING
            or (self.tool_calls not in NOTHING and not _EMPTY_PIECE.fullmatch(self.tool_calls))
            or self.refusal not in NOTHING
            or self.function_call not in NOTHING
            or self.audio not in NOTHING
            or self.images not in NOTHING
        )


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    # Of a completion that is no chat.
    text: msgspec.Raw = NULL
    finish_reason: msgspec.Raw = NULL
    index: int | None = None


class _Frame(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


class _OddFrame(msgspec.Struct):
    choices: msgspec.Raw = NULL
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


_frame = msgspec.json.Decoder(_Frame).decode
_odd_frame = msgspec.json.Decoder(_OddFrame).decode


def hear(event: Event) -> Heard:
    """Read an event. Raises `UNREADABLE` where its data is no JSON object."""
    try:
        frame = _frame(event.data)
    except msgspec.ValidationError:
        return _hear_odd(event)
    except UNREADABLE as error:
        return hear(Event(event.name, mended(event.data, error)))
    heard = Heard()
    if event.name == "error" or (frame.error != NULL and errors.present(frame.error)):
        heard.error = errors.read(event.data)
        return heard
    if frame.usage != NULL:
        heard.usage, heard.said = frame.usage, event.data
        heard.alone = not frame.choices
    for choice in frame.choices or ():
        _hear_choice(choice, heard, event)
        if heard.error is not None:
            break
    return heard


def says_something(event: Event) -> bool:
    """Whether there is content in it."""
    try:
        return hear(event).content
    except UNREADABLE:
        return False


def _hear_choice(choice: _Choice, heard: Heard, event: Event) -> None:
    if (choice.delta is not None and choice.delta.says_something()) or choice.text not in NOTHING:
        heard.spoken += 1
        heard.content = True
    if choice.finish_reason == _FAILED:
        # OpenRouter's word for an answer that its provider broke off.
        heard.error = errors.read(event.data)
    elif choice.finish_reason not in NOTHING:
        heard.finished.append(choice.index or 0)
        heard.content = True


def _hear_odd(event: Event) -> Heard:
    """A sound object in a shape that we do not know: the client's to judge, and content where it may be."""
    try:
        frame = _odd_frame(event.data)
    except UNREADABLE as error:
        return hear(Event(event.name, mended(event.data, error)))
    if errors.present(frame.error):
        return Heard(error=errors.read(event.data))
    spoken = frame.choices not in NOTHING
    usage = frame.usage if frame.usage != NULL else None
    alone = not spoken and usage is not None
    return Heard(content=spoken, spoken=int(spoken), usage=usage, said=event.data, alone=alone)
