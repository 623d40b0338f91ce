"""Lone surrogates: halves of a character that some servers write where they cut a text, and that no decoder takes."""

from __future__ import annotations

import re

# Each escape of a JSON text: a pair, which stands for one character, half a pair (the group), or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_REPLACEMENT = rb"\ufffd"


def mended(data: bytes, error: Exception) -> bytes:
    """JSON that a decoder did not take, with U+FFFD in place of what is no character.

    Raises `error`, the decoder's, where there is nothing of the kind in it.
    """
    text = _ESCAPE.sub(lambda escape: _REPLACEMENT if escape[1] else escape[0], data)
    text = text.decode("utf-8", "replace").encode()
    if text == data:
        raise error
    return text
