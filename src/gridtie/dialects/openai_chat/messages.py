"""Measuring the messages of a chat request: text, images and what is billed apart, without decoding any of it."""

from __future__ import annotations

import re

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import got
from gridtie.dialects.types import InvalidRequest

_Raw = msgspec.Raw
_NULL = _Raw(b"null")
_LIST, _OBJECT = b"[{"
QUOTES = 2

# JSON around the values of one message or part that is neither text nor image: braces, keys, role, white space.
FRAME_BYTES = 100

_PLAIN_PARTS = {"text", "refusal"}
_IMAGE_PARTS = {"image_url", "image", "input_image"}
_BILLED_PARTS = {"input_audio", "file", "video_url", "input_file"}


class Measure(msgspec.Struct):
    """What the messages of a request come to; sizes in bytes of JSON text."""

    messages: int = 0
    text: int = 0
    images: int = 0
    image_bytes: int = 0
    caches: bool = False
    extras: frozenset[str] = frozenset()


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = _NULL
    image_url: msgspec.Raw = _NULL
    image: msgspec.Raw = _NULL
    # Anthropic's way to send one, which some gateways take.
    source: msgspec.Raw = _NULL
    cache_control: msgspec.Raw = _NULL


_messages = msgspec.json.Decoder(list[dict[str, _Raw]]).decode
_parts = msgspec.json.Decoder(list[_Part]).decode
_part = msgspec.json.Decoder(_Part).decode
_items = msgspec.json.Decoder(list[_Raw]).decode


def measure(name: str, value: msgspec.Raw) -> Measure:
    """Measure the list of messages that is the value of this field. Raises `InvalidRequest`."""
    measured = Measure()
    try:
        frames = _measure_each(name, _messages(value), measured)
    except UNREADABLE as error:
        raise _not_messages(name, error) from None
    measured.text += _hidden(len(value) - measured.text - measured.image_bytes, frames)
    return measured


def _hidden(rest: int, frames: int) -> int:
    """Bytes that are more than the frames of messages and parts: other fields, doubled keys, masses of white space.

    Whoever reads them may bill them.
    """
    return max(0, rest - FRAME_BYTES * frames) if frames else 0


def _measure_each(name: str, messages: list[dict[str, msgspec.Raw]], measured: Measure) -> int:
    """Add up each message; the number of messages and parts."""
    measured.messages = frames = len(messages)
    for index, message in enumerate(messages):
        for key, value in message.items():
            if key == "role":
                continue
            if key == "content" and memoryview(value)[0] == _LIST:
                frames += _measure_parts(f"{name}[{index}].content", value, measured)
            elif key == "cache_control":
                measured.caches = True
            else:
                measured.text += len(value) - QUOTES
    return frames


def _measure_parts(path: str, value: msgspec.Raw, measured: Measure) -> int:
    try:
        parts = _parts(value)
    except msgspec.ValidationError:
        return _measure_odd_parts(path, value, measured)
    for part in parts:
        _add(part, len(part.text) - QUOTES, measured)
    return len(parts)


def _measure_odd_parts(path: str, value: msgspec.Raw, measured: Measure) -> int:
    """Parts of which some are no objects, as vLLM takes them."""
    items = _items(value)
    for index, item in enumerate(items):
        if memoryview(item)[0] != _OBJECT:
            measured.text += len(item)
            continue
        try:
            part = _part(item)
        except UNREADABLE as error:
            raise InvalidRequest(f"{path}[{index}].type", got(error), "a string") from None
        _add(part, len(item), measured)
    return len(items)


def _add(part: _Part, text: int, measured: Measure) -> None:
    if part.cache_control != _NULL:
        measured.caches = True
    if part.type in _PLAIN_PARTS:
        measured.text += text
    elif part.type in _IMAGE_PARTS:
        measured.images += 1
        measured.image_bytes += max(len(part.image_url), len(part.image), len(part.source))
    else:
        known = part.type if part.type in _BILLED_PARTS else "content parts of an unknown type"
        measured.extras |= {known}


def _not_messages(name: str, error: Exception) -> InvalidRequest:
    """Which message is none."""
    place = re.search(r"\$(\[\d+\])", str(error))
    if place is None:
        return InvalidRequest(name, got(error), "a list of messages")
    return InvalidRequest(name + place[1], got(error), "an object with a role and content")
