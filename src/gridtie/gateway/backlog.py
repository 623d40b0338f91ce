"""What is kept for a client connection beside its requests: bytes that came before their turn, bytes it does not take.

Both are counted against `limits.held_bytes` once there are enough of them; `account` opens an account for that.
"""

from __future__ import annotations

from collections.abc import Callable

from gridtie.gateway import limits
from gridtie.routing.held_bytes import Holding

Account = Callable[[], Holding]


class Pipelined:
    """Bytes that came while a request was in flight, as they came."""

    __slots__ = ("_holding", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self._holding: Holding | None = None

    def add(self, piece: bytes | memoryview, account: Account) -> bool:
        """Keep a piece more; False, and none of them is kept, where that is too much in sum."""
        self.data += piece
        count = len(self.data)
        if count > limits.UNCOUNTED_BYTES:
            if self._holding is None:
                self._holding = account()
            if not self._holding.take(count - self._holding.count):
                self.drop()
                return False
        return True

    def take(self) -> bytearray:
        """All of it, which is kept here no longer."""
        data, self.data = self.data, bytearray()
        self.drop()
        return data

    def drop(self) -> None:
        """Let go of it."""
        self.data.clear()
        if self._holding is not None:
            self._holding.release()
            self._holding = None  # the next one may be another key's


class Unsent:
    """Bytes that wait in the transport until the client takes them."""

    __slots__ = ("_holding", "largest")

    def __init__(self) -> None:
        # Of the pieces that may wait; the transport keeps the whole of one until its last byte is sent.
        self.largest = 0
        self._holding: Holding | None = None

    def grow(self, size: int, account: Account) -> bool:
        """Count what waits, `size` bytes by the transport's own count; False where that is too much in sum."""
        if self._holding is None:
            self._holding = account()
        return self._holding.take(max(0, max(size, self.largest) - self._holding.count))

    def sent(self) -> None:
        """Nothing waits any longer."""
        self.largest = 0
        if self._holding is not None:
            self._holding.release()
