"""What was asked, in the form that the conventions for generative AI give to prompts (`gen_ai.input.messages`)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Any

import msgspec

from gridtie.dialects.codecs import READERS
from gridtie.dialects.conversation import Call, Message, Opaque, Part, Text, Thought
from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.package import conversation_of
from gridtie.dialects.types import Untranslatable
from gridtie.dialects.values import holds_numbers

# Characters of all its texts, ids and names; what comes after is cut off. Stores of traces bound an attribute as well.
MOST_TEXT = 32 * 1024
# Messages and parts of messages: an empty one is longer as JSON than what the client wrote.
MOST_PARTS = 1024

# Of what is no conversation: where its text stands.
_FIELDS = ("prompt", "input")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def messages(facts: Facts) -> str:
    """As JSON; "" where it cannot be read. Images are named and not shown."""
    left = _Left(MOST_TEXT, MOST_PARTS)
    read = READERS.get(facts.dialect)
    try:
        if read is None:
            said = [{"role": "user", "parts": [_text(text, left)]} for text in takewhile(left.more, _texts(facts))]
        else:
            conversation = conversation_of(facts, read)
            said = [_message(message, left) for message in takewhile(left.more, conversation.messages)]
        return _encode(said).decode()
    except (Untranslatable, *UNREADABLE, ValueError):
        return ""


class _Left:
    """How much text there is room for, and how many messages and parts."""

    def __init__(self, characters: int, parts: int) -> None:
        self._characters, self._parts = characters, parts

    def more(self, _: object) -> bool:
        """Whether there is room for one more, which takes it."""
        self._parts -= 1
        return self._parts >= 0

    def cut(self, text: str) -> str:
        found = text[: self._characters]
        self._characters -= len(found)
        return found


def _message(message: Message, left: _Left) -> dict[str, Any]:
    if message.role == "tool":
        answer = left.cut("".join(_decode(part.text) for part in message.parts if isinstance(part, Text)))
        call = left.cut(message.call_id)
        parts: list[dict[str, Any]] = [{"type": "tool_call_response", "id": call, "response": answer}]
    else:
        parts = [_part(part, left) for part in takewhile(left.more, message.parts)]
    return {"role": message.role, "parts": parts}


def _part(part: Part, left: _Left) -> dict[str, Any]:
    if isinstance(part, Text):
        return _text(_decode(part.text), left)
    if isinstance(part, Thought):
        return {"type": "reasoning", "content": "" if part.redacted else left.cut(_decode(part.text))}
    if isinstance(part, Call):
        id, name = left.cut(part.id), left.cut(part.name)
        return {"type": "tool_call", "id": id, "name": name, "arguments": left.cut(part.arguments)}
    return {"type": part.kind if isinstance(part, Opaque) else "image"}


def _text(text: str, left: _Left) -> dict[str, Any]:
    return {"type": "text", "content": left.cut(text)}


def _texts(facts: Facts) -> Iterable[str]:
    for name in _FIELDS:
        if name in facts.fields and not holds_numbers(facts.fields[name]):
            found = _decode(facts.fields[name])
            # Several texts; null, and what its target refuses, is none.
            several = found if isinstance(found, list) else [found]
            yield from (each for each in several if isinstance(each, str))
