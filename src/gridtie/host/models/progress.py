"""How far downloads are, as short lines for a person who waits: bytes, share, rate and time left."""

from __future__ import annotations

import time
from collections import deque
from typing import Callable

# Rates are of the last seconds: long enough to be calm, short enough to show that a line became slow.
_WINDOW_S = 15.0
# A line that changes more often cannot be read.
_EVERY_S = 0.5


class Meter:
    """One model's download. `total` bytes are to come, 0 where that is not known."""

    def __init__(
        self, name: str, total: int, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._total = total
        self._say = say
        self._clock = clock
        self._finished = 0
        self._seen: deque[tuple[float, int]] = deque()
        self._said = float("-inf")

    def at(self, have: int) -> None:
        """`have` bytes of the current file are there. What an earlier run left counts as bytes, not for the rate."""
        now, done = self._clock(), self._finished + have
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        whole = 0 < self._total <= done
        if now - self._said >= _EVERY_S or whole:
            self._said = now
            self._say(self._line(done))

    def finish(self, size: int) -> None:
        """The current file is complete; the next one begins."""
        self._finished += size
        self._seen.clear()

    def _line(self, done: int) -> str:
        (begun, base), (now, _) = self._seen[0], self._seen[-1]
        rate = (done - base) / (now - begun) if now > begun else 0.0
        share = f" of {self._total / 1e9:.2f} GB ({min(100 * done // self._total, 100)} %)" if self._total else " GB"
        speed = f", {rate / 1e6:.1f} MB/s" if rate else ""
        left = f", {_span((self._total - done) / rate)} left" if rate and done < self._total else ""
        return f"{self._name} {done / 1e9:.2f}{share}{speed}{left}"


def _span(seconds: float) -> str:
    """Seconds as people say them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
