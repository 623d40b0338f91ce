"""After an early refusal: what the client still sends is read and thrown away.

To close while bytes arrive resets the connection, and the reset overtakes the refusal: a client that is in the middle
of a large body would see a broken connection instead of the reason.
"""

from __future__ import annotations

from gridtie.gateway import limits

# Announced is a body of chunks, of whatever length.
CHUNKED = -1


class Linger:
    """How long and how much; `now` is `time.monotonic()`."""

    __slots__ = ("_end", "_left", "_quiet")

    def __init__(self, announced: int, now: float) -> None:
        """`announced` is the length of the body that was refused; 0 where none is known, or `CHUNKED`."""
        most = limits.LINGER_ANNOUNCED_BYTES
        self._left = max(limits.LINGER_BYTES, most if announced == CHUNKED else min(announced, most))
        self._end = now + limits.LINGER_TOTAL_SECONDS
        self._quiet = now + limits.LINGER_SECONDS

    def drop(self, count: int, now: float) -> bool:
        """So many bytes came; False where they are too many."""
        self._left -= count
        self._quiet = now + limits.LINGER_SECONDS
        return self._left >= 0

    def over(self, now: float) -> bool:
        """Whether the client has had its time."""
        return now >= self._quiet or now >= self._end
