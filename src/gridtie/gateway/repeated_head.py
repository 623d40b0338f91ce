"""A head that a client sends again: its requests on a connection differ in nothing but the body and its length.

What the parser found in bytes it finds in the same bytes each time. So a whole request that begins with those of one
that was admitted is known without it: ten calls from C into Python less, and no fields to compare.
"""

from __future__ import annotations

import re

from gridtie.gateway.exchange import Head

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
# No length that would be admitted has more.
_MOST_DIGITS = 9


class RepeatedHead:
    """The bytes of a head before and after the digits of its length."""

    __slots__ = ("_after", "_before", "_size", "head")

    def __init__(self, head: Head, before: bytes, after: bytes) -> None:
        self.head = head
        self._before = before
        self._size = len(before)
        # The line's end and what follows, up to the body.
        self._after = after

    @classmethod
    def of(cls, head: Head, data: bytes) -> RepeatedHead | None:
        """From the bytes that `head` was read from the beginning of; None where it ends later, or names no length."""
        end = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, end) if end >= 4 and not head.upgrade else None
        return None if length is None else cls(head, data[: length.start(1)], data[length.end(1) : end])

    def body(self, data: bytes) -> bytes | None:
        """The body, where this is one whole request with the same head; else None."""
        begins = self._size
        if not data.startswith(self._before):
            return None
        ends = data.find(self._after, begins, begins + _MOST_DIGITS + len(self._after))
        digits = data[begins:ends]
        if ends < 0 or not digits.isdigit():
            return None
        body = data[ends + len(self._after) :]
        return body if len(body) == int(digits) else None
