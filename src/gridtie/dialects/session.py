"""What tells the requests of one session: a name in the body, else how its conversation begins; pure.

A conversation is sent again with each turn, so its first messages stay: instructions, and what the user said first.
Of them the texts alone are taken, since marks for a cache move from turn to turn.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import kind

_Raw = msgspec.Raw
_NULL = _Raw(b"null")
_INSTRUCTIONS = ("system", "developer")
# Bytes of a beginning that are looked at: what begins alike for so long shares most of a prefix.
_MOST = 64 * 1024
# Of Anthropic's label for a user, where it names a session: Claude Code's holds account and session, in either form.
_NAMES_A_SESSION = "session"


class _Metadata(msgspec.Struct):
    user_id: Any = None


class _Message(msgspec.Struct):
    role: Any = None
    content: msgspec.Raw = _NULL


class _Part(msgspec.Struct):
    text: msgspec.Raw = _NULL


_text = msgspec.json.Decoder(str).decode
_metadata = msgspec.json.Decoder(_Metadata).decode
_messages = msgspec.json.Decoder(list[_Message]).decode
_parts = msgspec.json.Decoder(list[_Part]).decode


def named(facts: Facts) -> str:
    """What the body calls its session; "" where it has no name."""
    try:
        if facts.dialect != "anthropic":
            return _text(facts.fields.get("prompt_cache_key", _NULL))
        user = _metadata(facts.fields.get("metadata", _NULL)).user_id
    except UNREADABLE:
        return ""
    return user if isinstance(user, str) and _NAMES_A_SESSION in user else ""


def opening(facts: Facts) -> bytes:
    """The texts that it begins with, as they stand in the body; b"" for what is no conversation."""
    return _opening(facts)[:_MOST]


def _opening(facts: Facts) -> bytes:
    fields = facts.fields
    try:
        match facts.dialect:
            case "openai" | "ollama":
                return _first(fields.get("messages", _NULL))
            case "anthropic":
                return _said(fields.get("system", _NULL)) + _first(fields.get("messages", _NULL))
            case "openai-responses":
                given = fields.get("input", _NULL)
                first = bytes(given) if kind(given) == "a string" else _first(given)
                return _said(fields.get("instructions", _NULL)) + first
    except UNREADABLE:
        pass  # told by whoever has to read it
    return b""


def _first(messages: msgspec.Raw) -> bytes:
    """Instructions, and the first message that is none; no further than counts."""
    # Grown in place: bytes would be copied whole with each of a hundred thousand instructions.
    found = bytearray()
    for message in _messages(messages):
        found += _said(message.content)
        if message.role not in _INSTRUCTIONS or len(found) >= _MOST:
            break
    return bytes(found)


def _said(content: msgspec.Raw) -> bytes:
    if kind(content) != "a list":
        return b"" if content == _NULL else bytes(content)
    return b"".join([bytes(part.text) for part in _parts(content) if part.text != _NULL])
