"""What the same requests would cost with other machines: the report's own arithmetic over a ledger that is made up.

For each candidate a ledger in memory gets the rows that a router would have written, and the report is asked of it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from gridtie.config.names import RELAY, canonical
from gridtie.ledger.schema import MIGRATIONS
from gridtie.report.assumptions import Assumptions, Candidate, Traffic
from gridtie.report.figures import NothingAskedError, figures
from gridtie.report.ledger_file import opened, read
from gridtie.report.question import Other, Question
from gridtie.report.sql import picos, quoted, statements
from gridtie.report.words import words

SCHEMA = 1
_DAY = 86_400.0


def what_if(
    assumed: Assumptions,
    question: Question,
    baseline: Other,
    clouds: Mapping[str, Other],
    ledger: Path,
) -> dict[str, Any]:
    """The report for each candidate. `clouds` holds what a candidate's name says of the rest; else the baseline.

    `baseline` is what assumed traffic is compared with; rows of a ledger have their own. Raises `UnreadableError` and
    `NothingAskedError`.
    """
    question = _period(assumed.traffic, question)
    with contextlib.closing(_memory()) as asked:
        for step in (*MIGRATIONS, _ASKED):
            asked.executescript(step)
        if assumed.traffic is not None:
            asked.execute(_assumed_rows(assumed.traffic, question, baseline))
        else:
            _copy(question, ledger, asked)
        if not asked.execute("SELECT count(*) FROM asked").fetchone()[0]:
            raise NothingAskedError(
                f"{ledger}: no request of a user was answered in the period; see --since, or name `traffic` in the file"
            )
        candidates = [
            _one(asked, candidate, question, clouds.get(candidate.name, baseline)) for candidate in assumed.candidates
        ]
    return {
        "schema": SCHEMA,
        "currency": "USD",
        "price_date": question.price_date,
        "traffic": msgspec.to_builtins(assumed.traffic),
        "candidates": candidates,
    }


# What was asked, by whom, and what it is compared with: the same for every candidate.
_ASKED = """
CREATE TABLE asked (id TEXT PRIMARY KEY, time REAL, key TEXT, environment TEXT, agent TEXT, tags TEXT, private INTEGER,
  project TEXT, input_tokens INTEGER, output_tokens INTEGER, cached_tokens INTEGER, cache_write_tokens INTEGER,
  baseline TEXT, baseline_usd REAL, price_date TEXT) STRICT
"""
_NAMES = (
    *("id", "time", "key", "environment", "agent", "tags", "private", "project"),
    *("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "baseline", "baseline_usd", "price_date"),
)


def _period(traffic: Traffic | None, question: Question) -> Question:
    # What is to be asked has no key or environment of today's.
    return question if traffic is None else replace(question, since=question.until - traffic.days * _DAY, only={})


def _assumed_rows(traffic: Traffic, question: Question, baseline: Other) -> str:
    count = round(traffic.requests_per_day * traffic.days)
    step = (question.until - question.since) / count
    return f"""INSERT INTO asked
  WITH RECURSIVE numbered(at) AS (SELECT 0 UNION ALL SELECT at + 1 FROM numbered WHERE at + 1 < {count}),
  sized AS (SELECT at, {traffic.input_tokens} AS input_tokens, {traffic.output_tokens} AS output_tokens,
    {round(traffic.input_tokens * traffic.cached_share)} AS cached_tokens, 0 AS cache_write_tokens FROM numbered)
  SELECT printf('assumed-%07d', at), {question.since!r} + at * {step!r}, 'assumed', 'assumed', NULL, '[]', 0, '',
    input_tokens, output_tokens, cached_tokens, cache_write_tokens, {quoted(baseline.ref)},
    {picos(baseline.prices, baseline.prices.tiers)} / 1e12, {quoted(question.price_date)}
  FROM sized"""


def _copy(question: Question, ledger: Path, asked: sqlite3.Connection) -> None:
    """The answered requests of users that a ledger has in the period, and nothing else of it."""
    narrowed = "".join(
        f" AND {column} IN ({', '.join(map(quoted, values))})" for column, values in question.only.items()
    )
    # A name that the view made up for what has none is none again.
    columns = ", ".join("nullif(agent, '(none)')" if name == "agent" else name for name in _NAMES)
    sql = f"""SELECT {columns} FROM metered WHERE time >= {question.since!r} AND time < {question.until!r}
      AND environment <> {quoted(RELAY)} AND purpose = '' AND answered AND baseline <> ''
      AND baseline_usd IS NOT NULL{narrowed}"""
    with opened(ledger) as connection:
        places = ", ".join("?" * len(_NAMES))
        asked.execute("BEGIN")
        asked.executemany(f"INSERT INTO asked VALUES ({places})", map(tuple, connection.execute(sql)))
        asked.execute("COMMIT")


def _one(asked: sqlite3.Connection, candidate: Candidate, question: Question, rest: Other) -> dict[str, Any]:
    power = question.power
    if (chosen := candidate.electricity) is not None:
        power = replace(power, **msgspec.structs.asdict(chosen), chosen=True, measured_kwh=None)
    question = replace(question, power=power, hardware=candidate.hardware, only={}, own_prices={})
    with contextlib.closing(_memory()) as ledger:
        asked.backup(ledger)
        ledger.execute(_answers(candidate, rest))
        told = figures(read(ledger, statements(question)))
    line = told["bottom_line"]
    return {
        "candidate": {**msgspec.to_builtins(candidate), "cloud": rest.ref},
        # Hours of a day in which the machine answers; above 24 one does not suffice.
        "busy_hours_per_day": told["totals"]["local_seconds"] / 3600 / line["days"],
        "words": words(question, told),
        **{name: told[name] for name in ("totals", "bottom_line", "baselines", "named")},
    }


def _memory() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    return connection


def _answers(candidate: Candidate, rest: Other) -> str:
    """The rows that a router would have written with the candidate."""
    share = repr(candidate.local_share)
    here = [f"cast(nth * {share} AS INTEGER) > cast((nth - 1) * {share} AS INTEGER)"]
    if candidate.environments is not None:
        here.append(f"environment IN ({', '.join(quoted(canonical(name)) for name in candidate.environments)})")
    # The n-th of all is taken where the share of n is a whole one more than before: evenly, and always the same.
    local = f"(private OR ({' AND '.join(here)}))"
    first = f"(input_tokens - cached_tokens) / {candidate.prompt_tokens_per_second!r}"
    whole = f"{first} + output_tokens / {candidate.tokens_per_second!r}"
    target = f"iif(local, {quoted('what-if/' + candidate.model)}, {quoted(rest.ref)})"
    return f"""INSERT INTO requests (id, time, key, environment, agent, tags, private, project, surface, asked, stream,
    status, rule, target, locality, served, tries, cloud_tries, input_tokens, output_tokens, cached_tokens,
    cache_write_tokens, estimated, complete, first_token, duration, error, cost_usd, baseline, baseline_usd, price_date)
  SELECT id, time, key, environment, agent, tags, private, project, 'openai', 'what-if', 0,
    200, 'what-if', {target}, iif(local, 'local', 'cloud'), NULL, '[]', 0, input_tokens, output_tokens, cached_tokens,
    cache_write_tokens, 0, 1, iif(local, {first}, NULL), iif(local, {whole}, 0.0), '',
    iif(local, 0.0, {picos(rest.prices, rest.prices.tiers)} / 1e12), baseline, baseline_usd, price_date
  FROM (SELECT *, {local} AS local FROM (SELECT *, row_number() OVER (ORDER BY time, id) AS nth FROM asked))"""
