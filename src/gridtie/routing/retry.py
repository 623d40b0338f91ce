"""Whether a target is asked again before the next place is, and when.

Only where that helps and nothing is billed twice: it could not be reached, so that nothing was sent, or it asked for a
pause and said how long (Retry-After). The others of its place come first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from gridtie.config.schema import Retries
from gridtie.dialects.types import Failed, Failure
from gridtie.routing.plan import PlannedAttempt


class Again(msgspec.Struct):
    """A target that may be asked again."""

    planned: PlannedAttempt
    # Monotonic seconds.
    due: float


def least_wait(failure: Failure, *, unreached: bool) -> float | None:
    """Seconds to wait at least; None where asking again does not help, or work may have begun."""
    if failure.kind is Failed.BUSY:
        return failure.retry_after
    return 0.0 if unreached and failure.kind is Failed.UNREACHABLE else None


def wait(retries: Retries, before: int, least: float, lot: float) -> float:
    """Seconds before a retry with so many before it; `lot`, from 0 to 1, keeps those apart that failed together.

    Half of the doubled backoff and up to as much again (Brooker, "Exponential Backoff And Jitter", AWS 2015: equal
    jitter), but never less than `least`.
    """
    # The exponent is bounded first: a float has no 2 ** 2000.
    half = min(retries.backoff * 2.0 ** min(before, 16), retries.max_backoff) / 2
    return max(least, half) + lot * half


class Retrying:
    """The retries of one request."""

    def __init__(self, retries: Retries, lot: Callable[[], float]) -> None:
        """`lot` draws a number from 0 to 1."""
        self._retries = retries
        self._lot = lot
        self._made = 0
        self._failed: list[Again] = []
        # What is waited for.
        self.next: Again | None = None

    def failed(self, planned: PlannedAttempt, least: float, now: float) -> None:
        """A target failed at `now` (monotonic seconds) in a way that asking again may mend after `least` seconds."""
        if least <= self._retries.max_backoff:
            self._failed.append(Again(planned, now + wait(self._retries, self._made, least, self._lot())))

    def choose(self, rank: int, left: Sequence[PlannedAttempt], end: float) -> bool:
        """Whether one of this rank is asked again next, before `end`; `left` are those that were not asked yet."""
        if self.next is not None:
            return True
        if self._made >= self._retries.count or any(planned.rank == rank for planned in left):
            return False
        there = [again for again in self._failed if again.planned.rank == rank and again.due < end]
        if not there:
            return False
        self.next = min(there, key=lambda again: again.due)
        self._failed.remove(self.next)
        self._made += 1
        return True

    def taken(self, now: float) -> PlannedAttempt | None:
        """What is to be asked at `now`, if it is time."""
        if self.next is None or now < self.next.due:
            return None
        planned, self.next = self.next.planned, None
        return planned
