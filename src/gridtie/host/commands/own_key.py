"""What a key's holder may take, in words, as the router tells it (`GET /gridtie/key`)."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from ..local_time import shown

_COUNTED = (
    ("requests_per_minute", "requests a minute", "{:,}"),
    ("tokens_per_minute", "tokens a minute", "{:,}"),
    ("usd_per_day", "a day at clouds", "${:,.4f}"),
    ("usd_per_month", "a month at clouds", "${:,.4f}"),
)


def about(key: Mapping[str, Any]) -> str:
    """A line for whose key it is, and one for each limit with what is left of it."""
    return "\n".join(_lines(key))


def _lines(key: Mapping[str, Any]) -> Iterator[str]:
    ends = f", ends {shown(key['ends'])}" if key["ends"] else ""
    yield f"Key: {key['name']}, for {', '.join(key['environments'])}{' (admin)' if key['admin'] else ''}{ends}."
    limits, left = key["limits"], key["left"]
    for name, words, form in _COUNTED:
        if name in limits:
            yield f"Limit: {form.format(limits[name])} {words}, {form.format(left[name])} left."
    if limits.get("models"):
        yield f"Limit: it may ask for {', '.join(limits['models'])}."
    if not limits:
        yield "It has no limits of its own."
