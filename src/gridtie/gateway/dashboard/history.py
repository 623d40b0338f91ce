"""`GET /dashboard/history`: figures of the last hour, day, week or month, by the report's own SQL.

Money, shares, refusals and speed are the statements of `gridtie report`, so that page and report cannot differ; what
is drawn over time is summed up here from the same view.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from time import time
from typing import Any

import msgspec

from gridtie.gateway.admin.answer import refuse
from gridtie.gateway.admin.usage import read_query
from gridtie.gateway.dashboard.reader import Reader
from gridtie.gateway.dashboard.sign_in import PATH, SignIn
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.gateway.settings import Loaded
from gridtie.ledger.zone import Zone
from gridtie.report.ledger_file import read
from gridtie.report.question import Question
from gridtie.report.sql import Statements, rows_of, statements
from gridtie.report.tariff import own_prices, power_of


class Period(msgspec.Struct, frozen=True):
    """Seconds: of all of it, of a step of what is drawn, and for which an answer stands."""

    seconds: int
    step: int
    stands: float


PERIODS = {
    "hour": Period(3600, 60, 5.0),
    "day": Period(24 * 3600, 1800, 15.0),
    "week": Period(7 * 24 * 3600, 3 * 3600, 60.0),
    "month": Period(30 * 24 * 3600, 12 * 3600, 120.0),
}
# Of the report's tables, those that are shown; `month`, `day` and the check of every row's money are not.
_LEFT_OUT = frozenset({"repriced", "month", "day", "tag", "project", "unpriced", "unfinished", "own", "baselines"})
# Lines of a table.
_MOST_LINES = 8
_GROUPS = ("key", "agent", "model", "environment")

_encode = msgspec.json.Encoder().encode


class History:
    """What was."""

    def __init__(self, reader: Reader, sign_in: SignIn) -> None:
        self._reader = reader
        self._sign_in = sign_in

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path=f"{PATH}/history", get=self.history, public=True),)

    def history(self, exchange: Exchange) -> None:
        """Figures of a period: of all keys for an admin, else of the key that is signed in."""
        viewer = self._sign_in.viewer(exchange)
        if viewer is None:
            return
        name = read_query(exchange.head.query).get("period", "day")
        period = PERIODS.get(name)
        if period is None:
            refuse(exchange, 400, "invalid_query", f"period={name[:40]!r} found; wanted: {', '.join(PERIODS)}")
            return
        loaded, whose = exchange.head.loaded, viewer.whose

        def work(connection: sqlite3.Connection) -> bytes:
            return _encode({"period": name, **_history(connection, period, loaded, whose, time())})

        self._reader.answer(exchange, ("history", whose, name, loaded.digest), work, stands=period.stands)


def _history(
    connection: sqlite3.Connection, period: Period, loaded: Loaded, whose: str | None, now: float
) -> dict[str, Any]:
    since = now - period.seconds
    routing = loaded.routing
    question = Question(
        since=since,
        until=now,
        zone=Zone(),
        power=power_of(routing.costs.electricity),
        hardware=routing.costs.hardware,
        others=(),
        price_date=loaded.prices.date,
        own_prices=own_prices(routing),
        only={} if whose is None else {"key": (whose,)},
    )
    asked = statements(question)
    shown = {name: sql for name, sql in asked.figures.items() if name not in _LEFT_OUT}
    found = read(connection, Statements(asked.prepare, shown))
    by = {name: _largest(found.pop(name)) for name in (*_GROUPS, "rule") if name in found}
    return {
        "since": since,
        "until": now,
        "step": period.step,
        "totals": found["totals"][0],
        "money": {**found["bottom_line"][0], "electricity_status": question.power.status},
        "named": found["named"],
        "confidence": found["confidence"],
        "unanswered": found["unanswered"][:_MOST_LINES],
        "fallbacks": found["fallbacks"][:_MOST_LINES],
        "private_at_a_cloud": found["private_at_a_cloud"][:_MOST_LINES],
        "speed": found["latency_by_place"],
        "speed_by_model": found["latency_by_model"][:_MOST_LINES],
        "by": by,
        "prompt_tokens_per_second": _prompt_speed(connection, question),
        "series": _series(connection, question, period.step),
        "doctor": _doctor(connection, now),
    }


def _largest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row["requests"], reverse=True)[:_MOST_LINES]


def _series(connection: sqlite3.Connection, question: Question, step: int) -> list[dict[str, Any]]:
    """A row for each step in which anything was asked; `at` counts them from the period's beginning."""
    where = _users(question)
    at = f"cast((time - {question.since!r}) / {step} AS INTEGER) AS at"
    sql = f"""SELECT at, count(*) AS requests, sum(local) AS local, sum(cloud) AS cloud,
  sum(refused + failed + interrupted) AS unanswered,
  sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
  sum(cost_pico) / 1e12 AS cost_usd, sum(iif(unpriced, NULL, baseline_pico)) / 1e12 AS baseline_usd,
  min(iif(answered AND upto >= 0.50 * timed, first_token, NULL)) AS first_token_p50,
  min(iif(answered AND upto >= 0.95 * timed, first_token, NULL)) AS first_token_p95
FROM (SELECT *, count(first_token) OVER (PARTITION BY at, answered) AS timed,
    row_number() OVER (PARTITION BY at, answered ORDER BY first_token NULLS LAST) AS upto
  FROM (SELECT {at}, local, cloud, refused, failed, interrupted, answered, input_tokens, output_tokens, cost_pico,
      unpriced, baseline_pico, first_token
    FROM metered WHERE {where} LIMIT -1))
GROUP BY at ORDER BY at"""
    return [dict(row) for row in connection.execute(sql)]


def _prompt_speed(connection: sqlite3.Connection, question: Question) -> float | None:
    """Tokens of prompts that were read a second, by what local answers took to their first token."""
    sql = f"""SELECT 1.0 * sum(input_tokens - cached_tokens) / nullif(sum(first_token - waited), 0) FROM metered
WHERE {_users(question)} AND answered AND local AND first_token IS NOT NULL"""
    (found,) = connection.execute(sql).fetchone()
    return None if found is None else float(found)


def _users(question: Question) -> str:
    """The rows of a question but for the tool's own traffic."""
    return f"{rows_of(question)} AND purpose = ''"


def _doctor(connection: sqlite3.Connection, now: float) -> dict[str, Any] | None:
    """The doctor's last question to a model, and whether it was answered: what the router sees of the doctor."""
    month = now - PERIODS["month"].seconds
    rows = connection.execute(
        "SELECT time, answered FROM metered WHERE time >= ? AND purpose = 'doctor' ORDER BY time DESC LIMIT 1", (month,)
    )
    row = rows.fetchone()
    return None if row is None else {"time": row["time"], "answered": bool(row["answered"])}
