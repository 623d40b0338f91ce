"""How many values a body may have: it is read value by value, and nobody else is served meanwhile; pure.

A value is an object, a list, or what stands in one; a list of numbers, as tokens are sent, counts as one. Texts count
as one each, however long: they are measured and not read. The same holds of each event, line and whole answer of an
upstream that is translated.
"""

from __future__ import annotations

import re

import msgspec

from gridtie.dialects.types import InvalidRequest

# A conversation of 14,000 messages, half of them with a tool call and half its result; the longest sessions of agents
# have a few thousand. Read and written for a target of another dialect, so many take a fifth of a second, or a third.
MOST_VALUES = 100_000
# Bytes of the largest body that cannot have more: two values are `{},` at least.
FREE_BYTES = MOST_VALUES * 3 // 2

_MARKS = b"[{,"
_NUMBERS = re.compile(rb"\[[-+.\deE,\s]*\]")
_BEGINS_WITH_NUMBER = re.compile(rb"\[\s*[-\d]")
_WANTED = f"at most {MOST_VALUES}; leave out what is no longer needed, or send it in several requests"


def bound(path: str, body: bytes | bytearray) -> None:
    """Look at a body, or a part of one, of more than `FREE_BYTES`. Raises `InvalidRequest`."""
    if found := too_many(body):
        raise InvalidRequest(path, f"{found} values", _WANTED)


def too_many(body: bytes | bytearray) -> int:
    """The values of a body that has more than `MOST_VALUES`; 0 of any other."""
    # Marks stand in texts as well, and still are not too many in nearly every body.
    if _marks(body) <= MOST_VALUES:
        return 0
    found = count(body)
    return found if found > MOST_VALUES else 0


def count(body: bytes | bytearray) -> int:
    """The values of a body; where its texts alone are too many, at least so many."""
    without_escapes = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A text is a value or the name of one.
    if (texts := without_escapes.count(b'"') // 2) > 2 * MOST_VALUES:
        return texts // 2
    # Of each text a quote is left, so that a list of texts does not look like one of numbers.
    outside = b'"'.join(without_escapes.split(b'"')[::2])
    return _marks(_NUMBERS.sub(b"0", outside))


def holds_numbers(items: msgspec.Raw) -> bool:
    """Whether a list is one of tokens, by its first item: there may be millions of them, and nobody reads each."""
    return _BEGINS_WITH_NUMBER.match(memoryview(items)) is not None


def _marks(data: bytes | bytearray) -> int:
    """Each value stands behind one of them: the first of a list or an object behind its bracket."""
    return len(data) - len(data.translate(None, _MARKS))
