"""A whole OpenAI answer on its way to an OpenAI client: the body passes, usage and failures are read beside it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gridtie.dialects.answer import AnswerTooLarge
from gridtie.dialects.facts import BYTES_PER_TOKEN
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import form
from gridtie.dialects.openai_chat import errors, reform, usage
from gridtie.dialects.surrogates import mended
from gridtie.dialects.types import Failed, Failure, Whole

_Raw = msgspec.Raw
_NULL = _Raw(b"null")


class _Answer(msgspec.Struct):
    choices: list[_Raw] | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class _SoundAnswer(msgspec.Struct):
    """As nearly every server writes it: read in one go."""

    choices: Annotated[list[_Raw], msgspec.Meta(min_length=1)]
    usage: usage.SoundUsage
    error: None = None


class _Choice(msgspec.Struct):
    message: dict[str, _Raw] | None = None
    # Of a completion that is no chat.
    text: msgspec.Raw = _NULL


_sound = msgspec.json.Decoder(_SoundAnswer).decode
_answer = msgspec.json.Decoder(_Answer).decode
_choice = msgspec.json.Decoder(_Choice).decode


def read_whole(body: bytes, prompt_estimate: int) -> Whole:
    """A 2xx body: the answer and its usage, or why it is none."""
    try:
        sound = _sound(body)
    except UNREADABLE:
        return _read_odd(body, prompt_estimate)
    if sound.usage.prompt_tokens_details is None and usage.times_cache(body):
        return _read_odd(body, prompt_estimate)
    return Whole(body, sound.usage.read())


def _read_odd(body: bytes, prompt_estimate: int) -> Whole:
    """An answer with something odd about it, or none at all."""
    try:
        answer = _answer(body)
    except msgspec.ValidationError:
        return _failed("the upstream's answer is no chat completion")
    except UNREADABLE as error:
        return _read_mended(body, prompt_estimate, error) or _from_stream(body, prompt_estimate)
    if errors.present(answer.error):
        return Whole(b"", failure=errors.from_error(errors.read(body)))
    if not answer.choices:
        return _failed("the upstream's answer holds no choices")
    if len(answer.choices) > reform.MOST_CHOICES:
        count = len(answer.choices)
        return _failed(f"the upstream's answer holds {count} choices, and at most {reform.MOST_CHOICES} are read")
    said = sum(_size(choice) for choice in answer.choices) // BYTES_PER_TOKEN
    wire = usage.read(answer.usage, body) if answer.usage != _NULL else None
    return Whole(body, usage.from_wire(wire, prompt_estimate, said))


def _read_mended(body: bytes, prompt_estimate: int, error: Exception) -> Whole | None:
    """An answer with what is no character in it: read without that, and passed as it is. None for any other body."""
    if form(body) != "JSON":
        return None
    try:
        whole = read_whole(mended(body, error), prompt_estimate)
    except UNREADABLE:
        return None
    return whole if whole.failure is not None else Whole(body, whole.usage)


def _from_stream(body: bytes, prompt_estimate: int) -> Whole:
    """A stream that answers a request for a whole answer is used all the same; nothing else is."""
    if form(body) != "a stream of events":
        return _failed(f"the upstream sent {form(body)} instead of an answer")
    try:
        whole = reform.whole_of(body)
    except reform.Unusable as error:
        if error.error is not None:
            return Whole(b"", failure=errors.from_error(error.error))
        return _failed(str(error))
    except (AnswerTooLarge, ValueError, *UNREADABLE):
        return _failed("the upstream sent a stream that cannot be read instead of an answer")
    return read_whole(whole, prompt_estimate)


def _size(choice: msgspec.Raw) -> int:
    """Bytes of what one choice says."""
    try:
        found = _choice(choice)
    except UNREADABLE:
        return len(choice)
    if found.message is None:
        return len(found.text)
    message = found.message
    return sum(len(value) for name, value in message.items() if name != "role" and value != _NULL)


def _failed(message: str) -> Whole:
    return Whole(b"", failure=Failure(kind=Failed.BROKEN, message=message))
