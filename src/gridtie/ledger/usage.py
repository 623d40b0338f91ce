"""The usage report: what was asked, where it ran, what it cost, what the baseline would have cost.

Every figure is the result of an SQL statement over the view `metered`, and the report carries those statements: anyone
can run them against the ledger file and get the same numbers.
"""

from __future__ import annotations

import datetime
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gridtie.config.names import RELAY
from gridtie.ledger.zone import Zone, ZoneError

if TYPE_CHECKING:
    from gridtie.ledger.store import Store

# What a report can be grouped by: columns of the view.
GROUPS = ("day", "key", "agent", "environment", "model", "rule")

_SPAN = re.compile(r"(\d{1,6})([hdw])")
_BLANK_OFFSET = re.compile(r"(.*\d:\d\d.*) (\d\d:?\d\d)")
_SPAN_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}

_UTC = Zone()

# Figures of a report that count or add up a column of the view.
COUNTED = {
    # What became of the requests; the five add up to all of them.
    "answered": "answered",
    "refused": "refused",
    "failed": "failed",
    "interrupted": "interrupted",
    "cancelled": "cancelled",
    # Where an answer came from; the three add up to all requests.
    "local_requests": "local",
    "cloud_requests": "cloud",
    "nowhere_requests": "nowhere",
    "private_requests": "private",
    "private_cloud": "private_cloud",
    "cloud_attempts_lost": "cloud_lost",
    "unpriced": "unpriced",
    "estimated": "estimated",
    "over_reserved": "over_reserved",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cached_tokens": "cached_tokens",
    "reasoning_tokens": "reasoning_tokens",
}
# Sums of money are NULL where no row has the figure: an unknown price stays visible.
# saved = baseline - (cost - uncompared): what is unpriced is in no saving, but what is known of its cost is spent.
_SUMS = {
    "requests": "count(*)",
    **{name: f"coalesce(sum({column}), 0)" for name, column in COUNTED.items()},
    "cost_usd": "sum(cost_pico) / 1e12",
    "uncompared_usd": "coalesce(sum(iif(unpriced, cost_pico, 0)), 0) / 1e12",
    "baseline_usd": "sum(iif(unpriced, NULL, baseline_pico)) / 1e12",
    "saved_usd": "sum(baseline_pico - cost_pico) / 1e12",
    # Of the prompts, what their engines and providers had not to read again.
    "cached_share_tokens": "1.0 * sum(cached_tokens) / nullif(sum(input_tokens), 0)",
    "local_share_requests": "1.0 * sum(local) / nullif(sum(local) + sum(cloud), 0)",
    "local_share_usd": "1.0 * sum(iif(local AND NOT unpriced, baseline_pico, 0))"
    " / nullif(sum(iif(unpriced, 0, baseline_pico)), 0)",
}
_FIGURES = ", ".join(f"{sql} AS {name}" for name, sql in _SUMS.items())
# The columns that they are made of.
_READ = ", ".join((*COUNTED.values(), "cost_pico", "baseline_pico"))
# What the first sentence says: short enough to be typed.
_HEADLINE = ", ".join(f"{_SUMS[name]} AS {name}" for name in ("requests", "cost_usd", "baseline_usd", "saved_usd"))
_TOKENS = (
    "count(*) AS requests, coalesce(sum(input_tokens), 0) AS input_tokens,"
    " coalesce(sum(output_tokens), 0) AS output_tokens"
)
_OWN = f"purpose, {_TOKENS}, sum(cost_pico) / 1e12 AS cost_usd"
_ATTEMPT = "id, target, time, key, environment, reserve_usd"
# Rows whose money is not what their tokens and rates come to, to a millionth of a millionth of a dollar; rows of 1.0.0
# carry no rates.
_REPRICED = (
    "count(*) AS rows, coalesce(sum(abs(coalesce(cost_usd, -1) - coalesce(cost_again, -1)) > 1e-12"
    " OR abs(coalesce(baseline_usd, -1) - coalesce(baseline_again, -1)) > 1e-12), 0) AS differing"
)


class UsageError(ValueError):
    """The question cannot be answered as put; the message says what is allowed."""


def moment(text: str, now: float, zone: Zone = _UTC) -> float:
    """A point in time as people write it, as Unix seconds: `24h`, `7d`, `2w` ago, a day, an ISO time, or seconds.

    A day, and a time that names no offset, is one of `zone`. Raises `UsageError`.
    """
    seconds = span(text)
    if seconds is not None:
        return now - seconds
    if re.fullmatch(r"\d{9,12}(\.\d+)?", text):
        return float(text)
    try:
        # A plus sign that is not escaped in a URL's query arrives as a blank.
        when = datetime.datetime.fromisoformat(_BLANK_OFFSET.sub(r"\1+\2", text))
        return when.timestamp() if when.tzinfo else zone.instant(when)
    except (ValueError, OverflowError):
        raise UsageError(
            f"time {text[:80]!r} found; wanted 24h, 7d or 2w (ago), a day as 2026-11-22, "
            "a time as 2026-11-22T14:00:00Z, or Unix seconds"
        ) from None


def span(text: str) -> int | None:
    """`24h`, `7d` or `2w` in seconds; None where it is no such text."""
    found = _SPAN.fullmatch(text)
    return int(found[1]) * _SPAN_SECONDS[found[2]] if found else None


def zone_of(text: str) -> Zone:
    """The parameter `utc_offset`. Raises `UsageError`."""
    try:
        return Zone.read(text)
    except ZoneError as error:
        raise UsageError(str(error)) from error


def report(
    store: Store,
    database: Path,
    *,
    since: float,
    until: float,
    by: str | None,
    key: str | None,
    price_date: str,
    zone: Zone = _UTC,
) -> dict[str, Any]:
    """The report on requests that arrived in [since, until); of all keys, or of one. Raises `UsageError`.

    `zone` is that of the reader, whose days the groups by `day` are.
    """
    if by is not None and by not in GROUPS:
        raise UsageError(f"by={by!r} found; wanted one of {', '.join(GROUPS)}")
    if key is not None and "\0" in key:
        raise UsageError("a NUL character found in key; wanted the name of a key")
    period = f"time >= {since!r} AND time < {until!r}" + (f" AND key = {_quoted(key)}" if key is not None else "")
    # What other stations' routers passed on is counted where it was asked: here it would be counted twice.
    asked_here = f"{period} AND environment <> {_quoted(RELAY)}"
    users = f"{asked_here} AND purpose = ''"
    statements = {
        "totals": _select(_FIGURES, _each_once(_READ, users), "true"),
        "unfinished": _select(_ATTEMPT, "attempts", f"unfinished AND {asked_here}", "ORDER BY time"),
        "baselines": _select(
            "DISTINCT baseline, price_date", "metered", f"{users} AND answered AND baseline <> ''", "ORDER BY 1, 2"
        ),
        "own": _select(_OWN, "metered", f"{asked_here} AND purpose <> ''", "GROUP BY purpose ORDER BY 1"),
        "relayed": _select(_TOKENS, "metered", f"{period} AND environment = {_quoted(RELAY)}"),
    }
    if by is not None:
        group = zone.day("time") if by == "day" else by
        source = _each_once(f'{group} AS "group", {_READ}', users)
        statements["groups"] = _select(f'"group", {_FIGURES}', source, "true", "GROUP BY 1 ORDER BY 1")
    found = {name: store.rows(sql) for name, sql in statements.items()}
    # Not run here: the first is in the totals, and the other reads the rates of every row.
    statements["headline"] = _select(_HEADLINE, "metered", users)
    statements["repriced"] = _select(_REPRICED, "repriced", period)
    totals = found["totals"][0]
    baselines = sorted({row["baseline"] for row in found["baselines"]})
    dates = sorted({row["price_date"] for row in found["baselines"]} - {""})
    return {
        "schema": 2,
        "since": since,
        "until": until,
        "by": by,
        "key": key,
        "totals": totals,
        "groups": found.get("groups", []),
        "own": found["own"],
        "relayed": found["relayed"][0],
        "unfinished": found["unfinished"],
        "baselines": baselines,
        "price_dates": dates,
        "current_price_date": price_date,
        "electricity": {"usd": 0.0, "status": "not measured"},
        "statement": statement(totals, baselines, dates),
        "sql": statements,
        "recompute": {name: _command(database, sql) for name, sql in statements.items()},
    }


def statement(totals: Mapping[str, Any], baselines: list[str], dates: list[str]) -> str:
    """The report in one plain sentence or two, with what is not in it."""
    if not totals["requests"]:
        return "No request was metered in this period."
    saved, cost, baseline = totals["saved_usd"], totals["cost_usd"], totals["baseline_usd"]
    if saved is None or cost is None or baseline is None:
        text = "Nothing can be compared: no request of this period has a known price and a known baseline."
    else:
        named = f"{', '.join(baselines) or 'no baseline'} at the prices of {', '.join(dates) or 'no known date'}"
        spent = f"{_usd(cost)} of cloud spend, where the same tokens would have cost {_usd(baseline)} on {named}"
        if saved > 0:
            # Whether the answers were as good is not in the ledger: money was avoided, and perhaps not saved.
            text = f"Avoided list price, quality unknown: {_usd(saved)}; {spent}."
        else:
            text = f"Local was not cheaper, by {_usd(-saved)}: {spent}."
        text += " Electricity is not subtracted; `gridtie report` does that."
    left = [
        f"{totals[name]} {what}"
        for name, what in (
            ("unpriced", "without a known price are left out"),
            ("estimated", "rest on estimated tokens"),
        )
        if totals[name]
    ]
    return text + (f" Of {totals['requests']} requests, {' and '.join(left)}." if left else "")


def _usd(amount: float) -> str:
    sign = "-" if amount < 0 else ""
    # Six places show a single small answer: 100 tokens at 0.75 dollars per million are 0.000075.
    return f"{sign}${abs(amount):.6f}" if 0 < abs(amount) < 1 else f"{sign}${abs(amount):,.2f}"


def _select(columns: str, source: str, where: str, rest: str = "") -> str:
    # The statement is printed for people to run, so its values are literals, quoted here, and not parameters.
    return f"SELECT {columns} FROM {source} WHERE {where} {rest}".rstrip()  # noqa: S608


def _each_once(columns: str, where: str) -> str:
    # With a limit SQLite works out each column once a row, and not again in every figure that it is in: half the time.
    return f"({_select(columns, 'metered', where, 'LIMIT -1')})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _command(database: Path, sql: str) -> str:
    return f"sqlite3 -readonly -json {shlex.quote(str(database))} {shlex.quote(sql)}"
