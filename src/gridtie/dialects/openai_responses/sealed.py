"""Reasoning that its provider alone can read, as a client of OpenAI's responses keeps it: `encrypted_content`.

Anthropic takes its reasoning back by its signature, or as the data that it is where all of it is encrypted. Both travel
in the field that clients send back unread, under a mark that says whose they are. What has no such mark is OpenAI's
own, and nobody here can read it.
"""

from __future__ import annotations

import msgspec

from gridtie.dialects.answer import Text
from gridtie.dialects.conversation import NULL

_Raw = msgspec.Raw
# How such a JSON string begins. What follows is base64, which holds no dot.
_SIGNATURE, _REDACTED = b'"anthropic.signature.', b'"anthropic.redacted.'


def sealed(text: Text, *, redacted: bool = False) -> msgspec.Raw:
    """A signature of Anthropic's, or its encrypted reasoning, as encrypted content; all of them are JSON strings."""
    return _Raw((_REDACTED if redacted else _SIGNATURE) + bytes(text)[1:])


def opened(encrypted: msgspec.Raw) -> tuple[msgspec.Raw, bool]:
    """What `sealed` was given; null where it was somebody else's."""
    span = bytes(encrypted)
    for mark, redacted in ((_SIGNATURE, False), (_REDACTED, True)):
        if span.startswith(mark):
            return _Raw(b'"' + span[len(mark) :]), redacted
    return NULL, False
