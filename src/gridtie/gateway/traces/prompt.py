"""What was asked, in the form that the conventions for generative AI give to prompts (`gen_ai.input.messages`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gridtie.dialects.codecs import READERS
from gridtie.dialects.conversation import Call, Message, Opaque, Part, Text, Thought
from gridtie.dialects.facts import Facts
from gridtie.dialects.package import conversation_of
from gridtie.dialects.types import Untranslatable

# Characters of all its texts; what comes after is cut off. Stores of traces bound an attribute as well.
MOST_TEXT = 32 * 1024

# Of what is no conversation: where its text stands.
_FIELDS = ("prompt", "input")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def messages(facts: Facts) -> str:
    """As JSON; "" where it cannot be read. Images are named and not shown."""
    left = _Left(MOST_TEXT)
    read = READERS.get(facts.dialect)
    try:
        if read is None:
            said = [{"role": "user", "parts": [_text(text, left)]} for text in _texts(facts)]
        else:
            said = [_message(message, left) for message in conversation_of(facts, read).messages]
        return _encode(said).decode()
    except (Untranslatable, msgspec.DecodeError, ValueError):
        return ""


class _Left:
    """How much text there is room for."""

    def __init__(self, characters: int) -> None:
        self._characters = characters

    def cut(self, text: str) -> str:
        found = text[: self._characters]
        self._characters -= len(found)
        return found


def _message(message: Message, left: _Left) -> dict[str, Any]:
    if message.role == "tool":
        answer = left.cut("".join(_decode(part.text) for part in message.parts if isinstance(part, Text)))
        parts: list[dict[str, Any]] = [{"type": "tool_call_response", "id": message.call_id, "response": answer}]
    else:
        parts = [_part(part, left) for part in message.parts]
    return {"role": message.role, "parts": parts}


def _part(part: Part, left: _Left) -> dict[str, Any]:
    if isinstance(part, Text):
        return _text(_decode(part.text), left)
    if isinstance(part, Thought):
        return {"type": "reasoning", "content": "" if part.redacted else left.cut(_decode(part.text))}
    if isinstance(part, Call):
        return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": left.cut(part.arguments)}
    return {"type": part.kind if isinstance(part, Opaque) else "image"}


def _text(text: str, left: _Left) -> dict[str, Any]:
    return {"type": "text", "content": left.cut(text)}


def _texts(facts: Facts) -> Iterable[str]:
    for name in _FIELDS:
        if name in facts.fields:
            found = _decode(facts.fields[name])
            # Several texts, or tokens in place of them.
            yield from (each for each in ([found] if isinstance(found, str) else found) if isinstance(each, str))
