"""One periodic look at everything that can be late: time-outs are timestamps, not timers."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Protocol

log = logging.getLogger(__name__)

# How late a time-out may fire. The shortest time-out a routing file is likely to hold is a second;
# ten looks a second at a few hundred requests cost well under a per cent of a core.
INTERVAL = 0.1


class Sweepable(Protocol):
    """Something with a deadline."""

    def sweep(self, now: float) -> None:
        """Look at the deadlines; `now` is `time.monotonic()`. Cheap, and never raises on purpose."""
        ...


class Sweeper:
    """Calls `sweep` on every member ten times a second.

    A timer per request or per chunk would cost more than the rest of the work on a chunk.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float = INTERVAL) -> None:
        self._loop = loop
        self._interval = interval
        self._members: set[Sweepable] = set()
        self._handle: asyncio.TimerHandle | None = None
        self.add = self._members.add
        self.discard = self._members.discard

    def members(self) -> tuple[Sweepable, ...]:
        """Who is watched now."""
        return tuple(self._members)

    def start(self) -> None:
        """Begin; call once."""
        self._handle = self._loop.call_later(self._interval, self._tick)

    def stop(self) -> None:
        """End; members are not told."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        now = monotonic()
        for member in self.members():
            try:
                member.sweep(now)
            except Exception:
                # One broken member must not end the time-outs of all others.
                log.exception("a time-out could not be handled")
        self._handle = self._loop.call_later(self._interval, self._tick)
