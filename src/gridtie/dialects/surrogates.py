"""Lone surrogates: halves of a character that clients and servers write where they cut a text, and no decoder takes."""

from __future__ import annotations

import re
from itertools import islice

# All backslashes before the `u`, of which two are one that is meant itself; then a pair, which is one character, or a
# half. It begins at the first backslash only, so that a long row of them is gone through once.
_SURROGATE = re.compile(
    rb"(?<!\\)(\\+)u(?:([dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_REPLACEMENT = rb"\ufffd"
# Megabytes of nothing else are no text, and shall not keep other requests waiting.
_MOST = 200_000


def without_halves(data: bytes | bytearray) -> bytes | bytearray:
    """JSON with U+FFFD in place of escapes that stand for half a character; `data` itself where there is none."""
    if b"\\ud" not in data and b"\\uD" not in data:
        return data
    changed: bytearray | None = None
    for found in islice(_SURROGATE.finditer(data), _MOST):
        escape = (found.end(1) - found.start(1)) % 2 == 1
        pair = found[2] is not None
        # Behind a backslash that is meant itself, what looks like a pair is plain text and half a character.
        if escape != pair:
            changed = changed if changed is not None else bytearray(data)
            changed[found.end() - len(_REPLACEMENT) : found.end()] = _REPLACEMENT
    return data if changed is None else changed


def mended(data: bytes, error: Exception) -> bytes:
    """JSON of an answer that a decoder did not take, with U+FFFD in place of what is no character.

    Raises `error`, the decoder's, where there is nothing of the kind in it.
    """
    text = bytes(without_halves(data)).decode("utf-8", "replace").encode()
    if text == data:
        raise error
    return text
