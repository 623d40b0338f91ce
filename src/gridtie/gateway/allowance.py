"""What one key may take in a minute: asked before a request is sent, settled by what it used.

No clock: every call is told the time, in seconds of a clock that only goes forward.
"""

from __future__ import annotations

import math
from collections import deque

from gridtie.gateway.keys import Bounded
from gridtie.gateway.share import WHOLE, Share
from gridtie.routing import refusals
from gridtie.routing.plan import Refusal

_MINUTE = 60
# What was taken is kept by seconds, so that no number of requests makes it larger.
_STEP = 1


class _Step:
    __slots__ = ("amount", "second")

    def __init__(self, second: int) -> None:
        self.second = second
        self.amount = 0

    @property
    def over(self) -> int:
        """When the last that can have been taken in it is a minute old."""
        return self.second + _STEP + _MINUTE


class Window:
    """What was taken in the last minute; in no sixty seconds more than is allowed."""

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque()
        self._taken = 0

    def taken(self, now: float) -> int:
        """What counts at `now`."""
        while self._steps and self._steps[0].over <= now:
            self._taken -= self._steps.popleft().amount
        return self._taken

    def wait(self, amount: int, limit: int, now: float) -> float:
        """Seconds until `amount` more is within `limit`; 0 where it is now. It is never where it is more than that."""
        over = self.taken(now) + amount - limit
        if over <= 0:
            return 0.0
        for step in self._steps:
            over -= step.amount
            if over <= 0:
                return step.over - now
        return math.inf

    def take(self, amount: int, now: float) -> _Step:
        """Count it; for `settle`."""
        self.taken(now)
        second = math.floor(now)
        if not self._steps or self._steps[-1].second != second:
            self._steps.append(_Step(second))
        step = self._steps[-1]
        step.amount += amount
        self._taken += amount
        return step

    def settle(self, step: _Step, more: int, now: float) -> None:
        """Correct what was taken. What it was too little counts from now on, for it was not known before."""
        self.taken(now)
        if more > 0:
            self.take(more, now)
        elif step.over > now:
            step.amount += more
            self._taken += more


class Windows:
    """Of one key; kept across changes of its limits."""

    def __init__(self) -> None:
        self.requests = Window()
        self.tokens = Window()


class Taken:
    """What one request has taken so far."""

    def __init__(self, window: Window, step: _Step, tokens: int) -> None:
        self._window = window
        self._step = step
        self._tokens = tokens

    def settle(self, used: int, now: float) -> None:
        """Once it is over: tokens of its prompt and its answer, 0 where nothing was used."""
        self._window.settle(self._step, used - self._tokens, now)


class Allowance:
    """One key's limits, and what is left of them; of several routers each has its share."""

    def __init__(self, bounded: Bounded, windows: Windows, share: Share = WHOLE) -> None:
        self.bounded = bounded
        self._windows = windows
        limits = bounded.limits
        self._requests = share.part(limits.requests_per_minute) if limits.requests_per_minute else 0
        self._tokens = share.part(limits.tokens_per_minute) if limits.tokens_per_minute else 0

    def take(self, tokens: int, now: float) -> Taken | Refusal:
        """For a request whose prompt has so many tokens by estimate; its answer counts once it is there."""
        key, limits, windows = self.bounded.key.name, self.bounded.limits, self._windows
        most, most_tokens = limits.requests_per_minute, limits.tokens_per_minute
        if most and (wait := windows.requests.wait(1, self._requests, now)):
            return refusals.key_too_fast(key, most, "requests", wait)
        if most_tokens and tokens > most_tokens:
            return refusals.too_much_for_key(key, most_tokens, tokens)
        # One that is larger than this router's share, and may be sent all the same, takes a minute of its own.
        if most_tokens and (wait := windows.tokens.wait(tokens, max(self._tokens, tokens), now)):
            return refusals.key_too_fast(key, most_tokens, "tokens", wait)
        windows.requests.take(1, now)
        return Taken(windows.tokens, windows.tokens.take(tokens, now), tokens)

    def left(self, now: float) -> dict[str, int]:
        """What may still be taken here in this minute, of what is limited."""
        windows = self._windows
        pairs = (
            ("requests_per_minute", self._requests, windows.requests),
            ("tokens_per_minute", self._tokens, windows.tokens),
        )
        return {name: max(0, limit - window.taken(now)) for name, limit, window in pairs if limit}
