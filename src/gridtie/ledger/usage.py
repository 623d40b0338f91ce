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
from typing import Any

from gridtie.config.names import RELAY
from gridtie.ledger.store import Store

# What a report can be grouped by: columns of the view.
GROUPS = ("day", "key", "agent", "environment", "model", "rule")

_SPAN = re.compile(r"(\d+)([hdw])")
_SPAN_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}

# The figures of a report. Sums of money are NULL where no row has the figure: an unknown price stays visible as a gap.
_SUMS = {
    "requests": "count(*)",
    **{
        name: f"coalesce(sum({column}), 0)"
        for name, column in {
            "answered": "answered",
            "refused": "refused",
            "failed": "failed",
            "broken_off": "broken_off",
            "cancelled": "cancelled",
            "local_requests": "local",
            "cloud_requests": "cloud",
            "private_requests": "private",
            "private_cloud": "private_cloud",
            "cloud_attempts_lost": "cloud_lost",
            "unpriced": "unpriced",
            "estimated": "estimated",
            "input_tokens": "input_tokens",
            "output_tokens": "output_tokens",
            "cached_tokens": "cached_tokens",
        }.items()
    },
    "cost_usd": "sum(cost_pico) / 1e12",
    "baseline_usd": "sum(baseline_pico) / 1e12",
    "saved_usd": "sum(baseline_pico - cost_pico) / 1e12",
    "local_share_requests": "1.0 * sum(local) / nullif(sum(local) + sum(cloud), 0)",
    "local_share_usd": "1.0 * sum(iif(local AND NOT unpriced, baseline_pico, 0))"
    " / nullif(sum(iif(unpriced, 0, baseline_pico)), 0)",
}
_FIGURES = ", ".join(f"{sql} AS {name}" for name, sql in _SUMS.items())
# What the first sentence says: short enough to be typed.
_HEADLINE = ", ".join(f"{_SUMS[name]} AS {name}" for name in ("requests", "cost_usd", "baseline_usd", "saved_usd"))
_RELAYED = (
    "count(*) AS requests, coalesce(sum(input_tokens), 0) AS input_tokens,"
    " coalesce(sum(output_tokens), 0) AS output_tokens"
)
_ATTEMPT = "id, target, time, key, environment, reserve_usd"


class UsageError(ValueError):
    """The question cannot be answered as put; the message says what is allowed."""


def moment(text: str, now: float) -> float:
    """A point in time as people write it, as Unix seconds: `24h`, `7d`, `2w` ago, a day (UTC), an ISO time, or seconds.

    Raises `UsageError`.
    """
    if span := _SPAN.fullmatch(text):
        return now - int(span[1]) * _SPAN_SECONDS[span[2]]
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return float(text)
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"time {text!r} found; wanted 24h, 7d or 2w (ago), a day as 2026-11-22, "
            "a time as 2026-11-22T14:00:00Z, or Unix seconds"
        ) from None
    return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()


def report(
    store: Store,
    database: Path,
    *,
    since: float,
    until: float,
    by: str | None,
    key: str | None,
    price_date: str,
) -> dict[str, Any]:
    """The report on requests that arrived in [since, until); of all keys, or of one. Raises `UsageError`."""
    if by is not None and by not in GROUPS:
        raise UsageError(f"by={by!r} found; wanted one of {', '.join(GROUPS)}")
    period = f"time >= {since!r} AND time < {until!r}" + (f" AND key = {_quoted(key)}" if key is not None else "")
    # What other stations' routers passed on is counted where it was asked: here it would be counted twice.
    within = f"{period} AND environment <> {_quoted(RELAY)}"
    statements = {
        "headline": _select(_HEADLINE, "metered", within),
        "totals": _select(_FIGURES, "metered", within),
        "unfinished": _select(_ATTEMPT, "attempts", f"unfinished AND {within}", "ORDER BY time"),
        "baselines": _select(
            "DISTINCT baseline, price_date", "metered", f"{within} AND baseline <> ''", "ORDER BY 1, 2"
        ),
    }
    statements["relayed"] = _select(_RELAYED, "metered", f"{period} AND environment = {_quoted(RELAY)}")
    if by is not None:
        statements["groups"] = _select(f'{by} AS "group", {_FIGURES}', "metered", within, f"GROUP BY {by} ORDER BY 1")
    found = {name: store.rows(sql) for name, sql in statements.items()}
    totals = found["totals"][0]
    baselines = sorted({row["baseline"] for row in found["baselines"]})
    dates = sorted({row["price_date"] for row in found["baselines"]} - {""})
    return {
        "schema": 1,
        "since": since,
        "until": until,
        "by": by,
        "key": key,
        "totals": totals,
        "groups": found.get("groups", []),
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
    """The report in one plain sentence or two, gaps included."""
    if not totals["requests"]:
        return "No request was metered in this period."
    saved, cost, baseline = totals["saved_usd"], totals["cost_usd"], totals["baseline_usd"]
    if saved is None or cost is None or baseline is None:
        text = "No saving can be stated: no request of this period has a known price and a known baseline."
    else:
        named = f"{', '.join(baselines) or 'no baseline'} at the prices of {', '.join(dates) or 'no known date'}"
        spent = f"{_usd(cost)} of cloud spend, where the same tokens would have cost {_usd(baseline)} on {named}"
        if saved > 0:
            text = f"Saved {_usd(saved)}: {spent}."
        else:
            text = f"Local was not cheaper (saved {_usd(saved)}): {spent}."
        text += " Electricity is not measured and not subtracted."
    gaps = [
        f"{totals[name]} {what}"
        for name, what in (
            ("unpriced", "without a known price are left out"),
            ("estimated", "rest on estimated tokens"),
        )
        if totals[name]
    ]
    return text + (f" Of {totals['requests']} requests, {' and '.join(gaps)}." if gaps else "")


def _usd(amount: float) -> str:
    sign = "-" if amount < 0 else ""
    # Six places show a single small answer: 100 tokens at 0.75 dollars per million are 0.000075.
    return f"{sign}${abs(amount):.6f}" if 0 < abs(amount) < 1 else f"{sign}${abs(amount):,.2f}"


def _select(columns: str, source: str, where: str, rest: str = "") -> str:
    # The statement is printed for people to run, so its values are literals, quoted here, and not parameters.
    return f"SELECT {columns} FROM {source} WHERE {where} {rest}".rstrip()  # noqa: S608


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _command(database: Path, sql: str) -> str:
    return f"sqlite3 -readonly -json {shlex.quote(str(database))} {shlex.quote(sql)}"
