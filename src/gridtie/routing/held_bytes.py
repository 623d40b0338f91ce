"""How many bytes clients make the router hold, in sum: what one of them sends must not cost the others the router.

Counted is what waits for somebody else: bodies while they are read and until their request has ended, translations of
them, answers that are collected, pipelined and unsent bytes. Belongs to the event loop's thread.
"""

from __future__ import annotations


class HeldBytes:
    """The sum over all clients and over each key; `limit` may change with the configuration."""

    def __init__(self, limit: int) -> None:
        """`limit` in bytes over all clients; one key gets at most half of it."""
        self.limit = limit
        self.total = 0
        self._by_owner: dict[str, int] = {}

    def holding(self, owner: str) -> Holding:
        """An account for one request or connection of `owner`, a key's name."""
        return Holding(self, owner)

    def of(self, owner: str) -> int:
        """Bytes held for one key now."""
        return self._by_owner.get(owner, 0)

    def _take(self, owner: str, count: int) -> bool:
        held = self._by_owner.get(owner, 0) + count
        if self.total + count > self.limit or held > self.limit // 2:
            return False
        self.total += count
        self._by_owner[owner] = held
        return True

    def _give(self, owner: str, count: int) -> None:
        self.total -= count
        left = self._by_owner[owner] - count
        if left:
            self._by_owner[owner] = left
        else:
            # Names of keys are few, but those of yesterday need not be kept.
            del self._by_owner[owner]


class Holding:
    """What one request or connection holds. Release it at its end, on every path; idempotent."""

    __slots__ = ("_held", "count", "owner")

    def __init__(self, held: HeldBytes, owner: str) -> None:
        self._held = held
        self.owner = owner
        self.count = 0

    def take(self, count: int) -> bool:
        """Hold so many bytes more; False, and nothing is taken, where that is too much in sum."""
        if not self._held._take(self.owner, count):
            return False
        self.count += count
        return True

    def give(self, count: int) -> None:
        """So many of them are gone."""
        count = min(count, self.count)
        if count:
            self.count -= count
            self._held._give(self.owner, count)

    def release(self) -> None:
        """All of them are gone."""
        self.give(self.count)
