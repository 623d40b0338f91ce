"""What a key may take, and until when: as people type it, as keys.json has it, as it is shown."""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

_SPAN = re.compile(r"([1-9][0-9]{0,4})(m|h|d|w)")
_SECONDS = {"m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
_UTC = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Limits:
    """0, and no models at all, stand for no limit. Tokens are of prompts and answers, money is what clouds cost."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    usd_per_day: float = 0.0
    usd_per_month: float = 0.0
    models: Tuple[str, ...] = ()

    def document(self) -> Dict[str, Any]:
        """What is set, as keys.json has it."""
        return {name: list(value) if name == "models" else value for name, value in vars(self).items() if value}

    def words(self) -> str:
        """For a line of a list."""
        said = [
            f"{self.requests_per_minute:,} requests a minute" if self.requests_per_minute else "",
            f"{self.tokens_per_minute:,} tokens a minute" if self.tokens_per_minute else "",
            f"${self.usd_per_day:g} a day" if self.usd_per_day else "",
            f"${self.usd_per_month:g} a month" if self.usd_per_month else "",
            f"{', '.join(self.models)} only" if self.models else "",
        ]
        return ", ".join(each for each in said if each)


NO_LIMITS = Limits()


def parse(found: Mapping[str, Any]) -> Limits:
    """Limits from keys.json. Raises TypeError for what is none."""
    return Limits(**{**found, "models": tuple(str(name) for name in found.get("models", ()))})


def seconds(text: str) -> float:
    """A span, such as 90m, 24h or 30d; 0 is none. Raises ValueError that says what is wanted."""
    span = _SPAN.fullmatch(text)
    if span:
        return float(int(span[1]) * _SECONDS[span[2]])
    if text == "0":
        return 0.0
    raise ValueError(f"{text[:40]!r} is no span; wanted: one such as 90m, 24h, 30d or 2w")


def moment(text: str, now: float) -> str:
    """When that is, in UTC: a span from `now` (Unix seconds), the end of a day as this machine's clock has it, or a
    time with Z. "" for never. Raises ValueError that says what is wanted.
    """
    if text == "never":
        return ""
    try:
        # There and back, since keys.json has no year of five digits.
        at = unix(stamp(_moment(text, now)))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text[:40]!r} is no time to end at; wanted: one such as 30d, 2026-12-31 (to its end), 2026-12-31T14:00Z, "
            "or never"
        ) from None
    if at <= now:
        raise ValueError(f"{text[:40]!r} has passed")
    return stamp(at)


def stamp(at: float) -> str:
    """Unix seconds as in keys.json."""
    return time.strftime(_UTC, time.gmtime(at))


def unix(text: str) -> float:
    """The same the other way. Raises ValueError."""
    return float(calendar.timegm(time.strptime(text, _UTC)))


def _moment(text: str, now: float) -> float:
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        day = time.strptime(text, "%Y-%m-%d")
        return time.mktime((day.tm_year, day.tm_mon, day.tm_mday + 1, 0, 0, 0, 0, 0, -1))
    if text.endswith("Z"):
        for form in (_UTC, "%Y-%m-%dT%H:%MZ"):
            if re.fullmatch(r"[0-9T:-]+Z", text) and text.count(":") == form.count(":"):
                return float(calendar.timegm(time.strptime(text, form)))
    return now + seconds(text)
