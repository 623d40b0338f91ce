"""This machine's zone: how its clock differs from UTC, for a router that has no table of zones, and times to read."""

from __future__ import annotations

import re
import time
from datetime import datetime

_DAY = 24 * 3600
# A period that begins with a date is not read here; the zone's changes of so many years are told then.
_YEARS = 10
_SPAN_DAYS = {"h": 1 / 24, "d": 1, "w": 7}


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


def zone_since(since: str, now: float) -> str:
    """This machine's clock, from where the period begins; empty where it shows UTC."""
    span = re.fullmatch(r"(\d{1,6})([hdw])", since)
    days = int(span[1]) * _SPAN_DAYS[span[2]] if span else _YEARS * 365
    # A day more on both sides, since days begin before or after where the period does.
    told = utc_offset(now - (min(days, _YEARS * 365) + 1) * _DAY, now + _DAY)
    return "" if told == "0" else told


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
