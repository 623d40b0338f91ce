"""This machine's zone: how its clock differs from UTC, for a router that has no table of zones, and times to read."""

from __future__ import annotations

import time
from datetime import datetime

_DAY = 24 * 3600


def utc_offset(since: float, until: float) -> str:
    """Minutes east of UTC at `since` (Unix seconds), and each change up to `until`: `60,1774746000:120`."""
    minutes = _minutes(since)
    told = [str(minutes)]
    low = since
    while low < until:
        high = min(low + _DAY, until)
        if _minutes(high) != minutes:
            change = _change(int(low), int(high))
            minutes = _minutes(change)
            told.append(f"{change}:{minutes}")
            low = change
        else:
            low = high
    return ",".join(told)


def shown(moment: float) -> str:
    """A Unix time as this machine's clock shows it, with what it differs from UTC."""
    return datetime.fromtimestamp(moment).astimezone().isoformat(sep=" ", timespec="seconds")


def _change(low: int, high: int) -> int:
    """The first second after `low` with another offset than it."""
    before = _minutes(low)
    while high - low > 1:
        middle = (low + high) // 2
        if _minutes(middle) == before:
            low = middle
        else:
            high = middle
    return high


def _minutes(moment: float) -> int:
    return (time.localtime(moment).tm_gmtoff or 0) // 60
