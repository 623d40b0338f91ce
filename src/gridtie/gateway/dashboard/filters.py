"""Which requests are meant: a query of the page as SQL over the ledger's view `metered`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gridtie.gateway.dashboard.history import PERIODS

OUTCOMES = ("answered", "refused", "failed", "interrupted", "cancelled")
PLACES = ("local", "cloud", "nowhere")
# Columns that a value is compared with.
_EXACT = ("key", "agent", "model", "environment", "rule", "code", "asked", "id")
KNOWN = ("period", "outcome", "place", "private", "text", "before", *_EXACT)
# Where a piece of text may be found.
_SEARCHED = ("id", "key", "agent", "asked", "model", "environment", "rule", "code")
_LONGEST = 200
# The last row of a page: its time and its id, which tells rows of the same moment apart.
_BEFORE = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)/([0-9A-Za-z-]{1,64})")


class FilterError(ValueError):
    """The query cannot be used; the message says what is wanted."""


class Filters(msgspec.Struct, frozen=True):
    """A condition with its values."""

    where: str
    values: tuple[str | float, ...]


def read(asked: Mapping[str, str], whose: str | None, now: float) -> Filters:
    """What a query asks for, of the requests of `whose` (None: of all). Raises `FilterError`."""
    if unknown := sorted(asked.keys() - set(KNOWN)):
        raise FilterError(f"unknown: {', '.join(name[:40] for name in unknown[:10])}; wanted: {', '.join(KNOWN)}")
    period = _one_of(asked, "period", tuple(PERIODS)) or "day"
    parts, values = ["time >= ?"], [now - PERIODS[period].seconds]
    found: list[str | float] = [*values]
    if whose is not None:
        parts.append("key = ?")
        found.append(whose)
    for column in _EXACT:
        if asked.get(column):
            parts.append(f"{column} = ?")
            found.append(_text(asked[column]))
    for name, choices in (("outcome", OUTCOMES), ("place", PLACES)):
        if chosen := _one_of(asked, name, choices):
            parts.append(chosen)
    if _one_of(asked, "private", ("1",)):
        parts.append("private")
    if asked.get("text"):
        parts.append(f"({' OR '.join(f'instr(lower({column}), ?)' for column in _SEARCHED)})")
        found += [_text(asked["text"]).lower()] * len(_SEARCHED)
    if asked.get("before"):
        last = _BEFORE.fullmatch(asked["before"])
        if last is None:
            raise FilterError("before: wanted TIME/ID of a row, as the answer's `older` has it")
        parts.append("(time, id) < (?, ?)")
        found += [float(last[1]), last[2]]
    return Filters(" AND ".join(parts), tuple(found))


def _one_of(asked: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    chosen = asked.get(name, "")
    if chosen and chosen not in choices:
        raise FilterError(f"{name}={chosen[:40]!r} found; wanted one of {', '.join(choices)}")
    return chosen


def _text(text: str) -> str:
    if len(text) > _LONGEST or "\0" in text:
        raise FilterError(f"a text is longer than {_LONGEST} characters, or has a NUL in it")
    return text
