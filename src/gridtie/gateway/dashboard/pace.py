"""How fast answers are made right now: frames of requests under way, from one look to the next. No clock of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

# Seconds that are looked back: long enough to be calm, short enough to be now.
WINDOW_SECONDS = 5.0


class Pace:
    """Looked at once a second while somebody watches."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        # Time of the look, and tokens since the one before it, by key.
        self._looks: deque[tuple[float, dict[str, int]]] = deque()

    def look(self, now: float, requests: Iterable[tuple[str, str, int]]) -> None:
        """Take note of (id, key, frames so far) of every request under way."""
        made: dict[str, int] = {}
        frames: dict[str, int] = {}
        for id, key, count in requests:
            frames[id] = count
            # A failed attempt's frames are taken back.
            made[key] = made.get(key, 0) + max(count - self._before.get(id, 0), 0)
        if self._looks and now - self._looks[-1][0] > WINDOW_SECONDS:
            # Nobody has watched for a while: what came meanwhile did not come now.
            self._looks.clear()
            made = {}
        self._before = frames
        self._looks.append((now, made))
        while now - self._looks[0][0] > WINDOW_SECONDS:
            self._looks.popleft()

    def per_second(self, key: str | None) -> float:
        """Tokens a second, of one key or of all; a frame carries one token, as a rule."""
        if len(self._looks) < 2:
            return 0.0
        seconds = self._looks[-1][0] - self._looks[0][0]
        made = sum(
            sum(made.values()) if key is None else made.get(key, 0)
            for at, (_, made) in enumerate(self._looks)
            if at  # the first one counts from before the window
        )
        return made / seconds if seconds > 0 else 0.0
