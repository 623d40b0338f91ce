"""The zone of whoever asks, as the offsets that hold in it: the router needs no table of zones, and SQL can use it."""

from __future__ import annotations

import datetime
import re

import msgspec

_DAY_MINUTES = 24 * 60
# A zone changes its offset twice a year at most, or a little more where a month of fasting interrupts it.
_MOST_CHANGES = 64

_OFFSET = re.compile(r"[+-]?\d{1,4}")
_CHANGE = re.compile(r"(\d{1,11}):([+-]?\d{1,4})")


class ZoneError(ValueError):
    """A zone that is none; the message says how one is written."""


class Zone(msgspec.Struct, frozen=True):
    """Minutes east of UTC: `first`, and from each change (Unix seconds, ascending) on another number."""

    first: int = 0
    changes: tuple[tuple[int, int], ...] = ()

    @classmethod
    def read(cls, text: str) -> Zone:
        """`120`, or with changes `60,1774746000:120,1792890000:60`. Raises `ZoneError`."""
        first, *rest = text.strip().split(",")
        found = [_CHANGE.fullmatch(each) for each in rest]
        if not _OFFSET.fullmatch(first) or None in found or len(rest) > _MOST_CHANGES:
            raise _none(text)
        changes = tuple((int(match[1]), int(match[2])) for match in found if match)
        if any(abs(minutes) >= _DAY_MINUTES for minutes in (int(first), *(each for _, each in changes))):
            raise _none(text)
        if [when for when, _ in changes] != sorted({when for when, _ in changes}):
            raise _none(text)
        return cls(int(first), changes)

    def offset(self, time: float) -> int:
        """Seconds east of UTC at a Unix time."""
        minutes = self.first
        for when, later in self.changes:
            if time >= when:
                minutes = later
        return minutes * 60

    def instant(self, wall: datetime.datetime) -> float:
        """Unix seconds of what a clock in the zone shows.

        Of an hour that the clock shows twice it is the first one; an hour that it leaves out is taken as if the clock
        had not been changed yet.
        """
        shown = wall.replace(tzinfo=datetime.UTC).timestamp()
        possible = [shown - minutes * 60 for minutes in {self.first, *(each for _, each in self.changes)}]
        return min((time for time in possible if time + self.offset(time) == shown), default=max(possible))

    def day(self, column: str) -> str:
        """SQL for the day of a column with Unix seconds."""
        offset = str(self.first * 60)
        if self.changes:
            cases = " ".join(f"WHEN {column} >= {when} THEN {minutes * 60}" for when, minutes in reversed(self.changes))
            offset = f"CASE {cases} ELSE {self.first * 60} END"
        return f"date({column} + {offset}, 'unixepoch')"


def _none(text: str) -> ZoneError:
    return ZoneError(
        f"utc_offset {text[:80]!r} found; wanted minutes east of UTC, such as 120, with the changes in the period as "
        "60,1774746000:120 (Unix seconds: minutes)"
    )
