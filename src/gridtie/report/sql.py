"""The statements that a report is made of: what `sqlite3` needs, beside the ledger file, to get every figure again.

Tables for the time of the connection come first: `traffic`, the view `metered` summed up by all that reports are
grouped by, so that a million rows are read once and not once a table; `machines`, one row on what ours cost; and
`latencies`, answers counted by milliseconds. Money is summed in millionths of a millionth of a dollar and seconds in
millionths: whole numbers give the same sum in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gridtie.config.names import RELAY
from gridtie.ledger.prices import Rates
from gridtie.ledger.usage import COUNTED
from gridtie.report.question import DIMENSIONS, Other, Question

_PREPARED = ("traffic", "machines", "latencies")
_READING = (
    *("totals", "bottom_line", "baselines", "named", *DIMENSIONS, "confidence", "unpriced", "unanswered", "fallbacks"),
    *("latency_by_place", "latency_by_model", "private_at_a_cloud", "own", "unfinished", "repriced"),
)


class Statements(NamedTuple):
    """SQL by name: `prepare` makes the tables, `figures` reads."""

    prepare: dict[str, str]
    figures: dict[str, str]

    @classmethod
    def of(cls, sql: Mapping[str, str]) -> Statements:
        """Those of a report, all of them and nothing else. Raises `KeyError`."""
        if foreign := set(sql) - {*_PREPARED, *_READING}:
            raise KeyError(min(foreign))
        return cls({name: sql[name] for name in _PREPARED}, {name: sql[name] for name in _READING})

    def script(self) -> str:
        """All of it, to be fed to `sqlite3 -readonly`."""
        parts = [f"-- {name}\n{sql};" for name, sql in self.prepare.items()]
        parts += [f".print {name}\n{sql};" for name, sql in self.figures.items()]
        return "\n\n".join((".headers on", ".mode column", *parts)) + "\n"


# Columns of `traffic` that requests are told apart by. One column more, `purpose`, tells the tool's own traffic apart.
_APART = (
    "environment",
    "key",
    "agent",
    "project",
    "model",
    "rule",
    "code",
    "baseline",
    "price_date",
    "purpose",
    "tags",
)
# Columns that are summed up as they are.
_ADDED = (
    *("answered", "refused", "failed", "interrupted", "cancelled", "local", "cloud", "nowhere"),
    *("private", "private_cloud", "cloud_lost", "unpriced", "estimated", "over_reserved"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"),
)
_TOKENS = "input_tokens + output_tokens"
# What a row is, by how sure its money is; `billed`, an invoice, is nothing that a router gets to see.
_CONFIDENCE = (
    "CASE WHEN unpriced THEN 'unknown' WHEN estimated THEN 'estimated' WHEN cloud THEN 'priced from tokens'"
    " WHEN local THEN 'local' WHEN cost_pico > 0 THEN 'priced from tokens' ELSE 'nothing to pay' END"
)
# Seconds of an answer on a machine of ours, in millionths: from when it left the queue, also where it broke off.
_POWERED = "cast(round(max(duration - waited, 0) * 1e6) AS INTEGER)"

# The figures of every line. Sums of money are NULL where no row has the figure: an unknown price stays visible.
# avoided = baseline - (cloud - uncompared): what is unpriced is in no comparison, but what is known of it is spent.
_AVOIDED = "(sum(baseline_pico) - sum(cost_pico - uncompared_pico))"
_ELECTRICITY = "(coalesce(sum(powered_us), 0) * (SELECT usd_per_us FROM machines))"
_COUNTED = {"requests": "requests", **COUNTED}


def line(electricity: str) -> str:
    """The figures of every line, as a SELECT's columns over `traffic`; `electricity` is their dollars, as SQL."""
    net = f"({_AVOIDED} - sum(own_pico)) / 1e12 - {electricity}"
    figures = {
        **{name: f"coalesce(sum({column}), 0)" for name, column in _COUNTED.items()},
        "local_seconds": "coalesce(sum(local_us), 0) / 1e6",
        "cloud_usd": "sum(cost_pico) / 1e12",
        "uncompared_usd": "sum(uncompared_pico) / 1e12",
        "baseline_usd": "sum(baseline_pico) / 1e12",
        "avoided_usd": f"{_AVOIDED} / 1e12",
        "own_usd": "coalesce(sum(own_pico), 0) / 1e12",
        "electricity_usd": electricity,
        "net_usd": net,
        "net_share": f"({net}) / nullif(sum(baseline_pico) / 1e12, 0)",
        "cached_share_tokens": "1.0 * sum(cached_tokens) / nullif(sum(input_tokens), 0)",
        "local_share_requests": "1.0 * sum(local) / nullif(sum(local) + sum(cloud), 0)",
        "local_share_tokens": "1.0 * sum(local_tokens) / nullif(sum(input_tokens + output_tokens), 0)",
        "local_share_usd": "1.0 * sum(local_baseline_pico) / nullif(sum(baseline_pico), 0)",
    }
    return ",\n  ".join(f"{sql} AS {name}" for name, sql in figures.items())


_LINE = line(_ELECTRICITY)
_USERS = "traffic WHERE purpose = ''"


def statements(question: Question) -> Statements:
    """Everything that the report on a question reads from the ledger."""
    where = rows_of(question)
    figures = {
        "totals": _select(_LINE, _USERS),
        "bottom_line": _bottom_line(question),
        "baselines": _baselines(question.others),
        "named": _select(
            "baseline, price_date, sum(answered) AS answers, sum(baseline_pico) / 1e12 AS baseline_usd",
            f"{_USERS} AND baseline <> '' AND answered > 0 GROUP BY 1, 2 ORDER BY 1, 2",
        ),
        **{name: _by(name) for name in DIMENSIONS},
        "confidence": _select(
            "confidence, sum(requests) AS requests, sum(input_tokens) AS input_tokens,"
            " sum(output_tokens) AS output_tokens, sum(cost_pico) / 1e12 AS cloud_usd,"
            " sum(baseline_pico) / 1e12 AS baseline_usd",
            f"{_USERS} GROUP BY 1 ORDER BY 1",
        ),
        "unpriced": _select(
            f"model, baseline, sum(requests) AS requests, sum({_TOKENS}) AS tokens",
            f"{_USERS} AND confidence = 'unknown' GROUP BY 1, 2 ORDER BY 1, 2",
        ),
        "unanswered": _select(
            "iif(code = '', '(no code)', code) AS reason, sum(refused) AS refused, sum(failed) AS failed,"
            " sum(interrupted) AS interrupted, sum(cancelled) AS cancelled",
            f"{_USERS} AND answered < requests GROUP BY 1 ORDER BY sum(requests - answered) DESC, 1",
        ),
        "fallbacks": _fallbacks(where),
        "latency_by_place": _latency("locality"),
        "latency_by_model": _latency("model"),
        "private_at_a_cloud": _select(
            "id, time, key, environment, model",
            f"metered WHERE {where} AND purpose = '' AND private_cloud ORDER BY time LIMIT 20",
        ),
        "own": _select(
            "purpose, sum(requests) AS requests, sum(input_tokens) AS input_tokens,"
            " sum(output_tokens) AS output_tokens, sum(local_us) / 1e6 AS local_seconds,"
            " sum(cost_pico) / 1e12 AS cloud_usd",
            "traffic WHERE purpose <> '' GROUP BY 1 ORDER BY 1",
        ),
        "unfinished": _select(
            "count(*) AS attempts, coalesce(sum(reserve_usd), 0.0) AS reserved_usd",
            f"attempts WHERE unfinished AND time >= {question.since!r} AND time < {question.until!r}",
        ),
        "repriced": _repriced(question),
    }
    prepare = {
        "traffic": _traffic(question, where),
        "machines": _machines(question, where),
        "latencies": _latencies(where),
    }
    return Statements(prepare, figures)


def quoted(text: str) -> str:
    """Text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def rows_of(question: Question) -> str:
    """The rows of a question. What other stations' routers passed on is counted where it was asked."""
    parts = [
        f"time >= {question.since!r}",
        f"time < {question.until!r}",
        f"environment <> {quoted(RELAY)}",
        *(f"{column} IN ({', '.join(map(quoted, values))})" for column, values in question.only.items()),
    ]
    return " AND ".join(parts)


# Columns of `priced` that are summed up.
SUMMED = (
    *(*_ADDED, "cost_pico", "uncompared_pico", "baseline_pico", "local_baseline_pico", "local_tokens"),
    *("local_us", "powered_us", "own_pico"),
)


def _traffic(question: Question, where: str) -> str:
    added = (*SUMMED, *(f"other_{at}_pico" for at in range(len(question.others))))
    sums = ", ".join(f"sum({name}) AS {name}" for name in added)
    apart = ", ".join(("day", *_APART, "confidence"))
    # With a limit SQLite works out each column once a row, and not again in every sum that it is in.
    return f"""CREATE TEMP TABLE traffic AS
  SELECT {apart}, count(*) AS requests, {sums}
  FROM ({priced(question, where)} LIMIT -1)
  GROUP BY {apart}"""


def priced(question: Question, where: str, more: str = "") -> str:
    """Each request with its figures, as a SELECT; `more` are columns of the view `metered` that come first."""
    compared = "answered AND baseline <> '' AND NOT unpriced"
    others = "".join(
        f",\n    iif({compared}, {picos(other.prices, other.prices.tiers)}, 0) AS other_{at}_pico"
        for at, other in enumerate(question.others)
    )
    return f"""SELECT {more}{question.zone.day("time")} AS day, {", ".join(_APART)}, {", ".join(_ADDED)},
    {_CONFIDENCE} AS confidence,
    cost_pico, iif(unpriced, cost_pico, 0) AS uncompared_pico,
    iif(unpriced, NULL, baseline_pico) AS baseline_pico,
    iif(local AND NOT unpriced, baseline_pico, 0) AS local_baseline_pico,
    iif(local, {_TOKENS}, 0) AS local_tokens,
    iif(locality IS 'local', {_POWERED}, 0) AS local_us,
    iif({_has_electricity(question)}, {_POWERED}, 0) AS powered_us,
    {_own(question.own_prices)} AS own_pico{others}
    FROM metered WHERE {where}"""


def _has_electricity(question: Question) -> str:
    """Of a row: whether it ran on a machine of ours whose tokens have no price of their own."""
    priced = ", ".join(map(quoted, sorted(question.own_prices)))
    return "locality IS 'local'" + (f" AND model NOT IN ({priced})" if priced else "")


def _own(prices: Mapping[str, Rates]) -> str:
    if not prices:
        return "0"
    cases = " ".join(f"WHEN {quoted(ref)} THEN {picos(rates, ())}" for ref, rates in sorted(prices.items()))
    return f"iif(locality IS 'local', CASE model {cases} ELSE 0 END, 0)"


def picos(rates: Rates, tiers: Iterable[Rates]) -> str:
    """What a row's tokens cost at these rates, as SQL; a tier holds for the whole request, as in `ledger.prices`."""
    cost = _at(rates)
    for tier in tiers:
        cost = f"iif(input_tokens > {getattr(tier, 'above', 0)}, {_at(tier)}, {cost})"
    return cost


def _at(rates: Rates) -> str:
    cached = rates.input if rates.cached_input is None else rates.cached_input
    written = rates.input if rates.cache_write is None else rates.cache_write
    # Dollars per million tokens are millionths of a dollar per token.
    return (
        f"cast(round((max(input_tokens - cached_tokens - cache_write_tokens, 0) * {rates.input!r}"
        f" + cached_tokens * {cached!r} + cache_write_tokens * {written!r} + output_tokens * {rates.output!r})"
        " * 1e6) AS INTEGER)"
    )


def _machines(question: Question, where: str) -> str:
    """One row: how long machines of ours were answering, what they drew, and what a millionth of a second of it cost.

    A machine that answers four at once draws its watts once: what counts is the time in which it answered at all, and
    answers share it by their seconds.
    """
    power = question.power
    # A reading has the idle time in it.
    measured, watts = power.measured_kwh is not None, power.watts
    kwh = repr(power.measured_kwh) if measured else f"busy_us / 3.6e9 * {watts!r} / 1e3"
    idle = "0.0" if measured else f"max(seconds - busy_us / 1e6, 0) / 3.6e6 * {power.idle_watts!r}"
    first = f"max({question.since!r}, (SELECT coalesce(min(time), {question.since!r}) FROM requests))"
    machine = "substr(model, 1, instr(model, '/') - 1)"
    start, stop = "(time + waited)", "(time + max(duration, waited))"
    rows = f"""SELECT {machine} AS machine, cast(round({start} * 1e6) AS INTEGER) AS start,
        cast(round({stop} * 1e6) AS INTEGER) AS stop
      FROM metered WHERE {where} AND purpose = '' AND {_has_electricity(question)}"""
    spent = f"SELECT sum(stop - start) AS powered_us, sum(busy) AS busy_us FROM ({covered(rows, 'machine')})"
    return f"""CREATE TEMP TABLE machines AS
  SELECT since, seconds, busy_us / 1e6 AS busy_seconds, kwh, idle_kwh,
    kwh * {power.usd_per_kwh!r} AS electricity_usd, idle_kwh * {power.usd_per_kwh!r} AS idle_usd,
    {_written_off(question)} AS amortisation_usd,
    coalesce(kwh * {power.usd_per_kwh!r} / nullif(powered_us, 0), 0.0) AS usd_per_us
  FROM (SELECT since, seconds, busy_us, powered_us, {kwh} AS kwh, {idle} AS idle_kwh
    FROM (SELECT {first} AS since, {question.until!r} - {first} AS seconds,
      coalesce(busy_us, 0) AS busy_us, coalesce(powered_us, 0) AS powered_us
    FROM ({spent})))"""


def covered(rows: str, apart: str) -> str:
    """`rows` have `start` and `stop`; each of them with `busy`, what no earlier one of the same `apart` has covered."""
    return f"""SELECT *, max(stop - max(start, coalesce(before, start)), 0) AS busy
    FROM (SELECT *, max(stop) OVER (
        PARTITION BY {apart} ORDER BY start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM ({rows}))"""


def _bottom_line(question: Question) -> str:
    """One row: from the baseline down to what is left, and when the hardware has paid for itself."""
    price, years = (
        ("NULL", "NULL") if question.hardware is None else (repr(question.hardware.usd), repr(question.hardware.years))
    )
    sums = f"""SELECT sum(baseline_pico) / 1e12 AS baseline_usd,
      sum(cost_pico - uncompared_pico) / 1e12 AS cloud_usd, sum(own_pico) / 1e12 AS own_usd,
      sum(local_baseline_pico) / 1e12 AS local_baseline_usd
    FROM {_USERS}"""
    earned = "local_baseline_usd - own_usd - electricity_usd - idle_usd"
    return f"""SELECT since, days, busy_seconds, kwh, idle_kwh, baseline_usd, cloud_usd, own_usd,
  electricity_usd, idle_usd, amortisation_usd, net_usd, net_usd / nullif(baseline_usd, 0) AS net_share,
  earned_usd - amortisation_usd AS local_net_usd, earned_usd / days AS earned_usd_per_day,
  {price} AS hardware_usd, {years} AS hardware_years,
  iif(earned_usd > 0, {price} / (earned_usd / days), NULL) AS break_even_days
FROM (SELECT *, {earned} AS earned_usd,
    baseline_usd - cloud_usd - own_usd - electricity_usd - idle_usd - amortisation_usd AS net_usd
  FROM (SELECT since, seconds / 86400 AS days, busy_seconds, kwh, idle_kwh, electricity_usd, idle_usd, amortisation_usd
    FROM machines), ({sums}))"""


def _written_off(question: Question) -> str:
    hardware = question.hardware
    if hardware is None:
        return "0.0"
    return f"({hardware.usd!r} - {hardware.resale_usd!r}) / ({hardware.years!r} * 365) * (seconds / 86400)"


def _baselines(others: Iterable[Other]) -> str:
    """A line for the named baseline and for each other model: what the same tokens would have cost there."""
    spent = f"""(SELECT sum(cost_pico - uncompared_pico) / 1e12 + sum(own_pico) / 1e12 FROM {_USERS})
    + (SELECT electricity_usd + idle_usd + amortisation_usd FROM machines)"""
    lines = [("''", "baseline_pico"), *((quoted(o.ref), f"other_{at}_pico") for at, o in enumerate(others))]
    return "\nUNION ALL ".join(
        f"SELECT *, (baseline_usd - spent_usd) / nullif(baseline_usd, 0) AS net_share FROM ("
        f"SELECT {name} AS ref, sum({column}) / 1e12 AS baseline_usd, {spent} AS spent_usd,"
        f" sum({column}) / 1e12 - ({spent}) AS net_usd FROM {_USERS})"
        for name, column in lines
    )


def _by(name: str) -> str:
    group, source = {
        "month": ("substr(day, 1, 7)", "traffic"),
        "tag": ("tagged.value", "traffic, json_each(tags) AS tagged"),
    }.get(name, (name, "traffic"))
    return _select(f'{group} AS "group", {_LINE}', f"{source} WHERE purpose = '' GROUP BY 1 ORDER BY 1")


def _fallbacks(where: str) -> str:
    """Requests that something else answered than what they were meant for: by what that was, and why it did not."""
    return f"""SELECT json_extract(tries, '$[0].target') AS meant_for, json_extract(tries, '$[0].outcome') AS reason,
  iif(local, 'local', 'cloud') AS answered_by, count(*) AS requests, sum(cost_pico) / 1e12 AS cloud_usd
FROM metered WHERE {where} AND purpose = '' AND NOT nowhere AND instr(tries, '}},{{') > 0
GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3"""


def _latencies(where: str) -> str:
    """How many whole answers took how many milliseconds, to the first token and in all."""

    def counted(what: str, column: str, tokens: str, seconds: str) -> str:
        return f"""SELECT '{what}' AS what, locality, model, cast(round({column} * 1e3) AS INTEGER) AS ms,
    count(*) AS answers, sum({tokens}) AS tokens, sum(cast(round({seconds} * 1e6) AS INTEGER)) AS us
  FROM metered WHERE {where} AND purpose = '' AND answered AND first_token IS NOT NULL GROUP BY 2, 3, 4"""

    return f"""CREATE TEMP TABLE latencies AS
  {counted("first", "first_token", "0", "0")}
  UNION ALL {counted("whole", "duration", "output_tokens", "(duration - first_token)")}"""


def _latency(group: str) -> str:
    """In seconds: the middle one and that which 95 of 100 answers do not exceed, by nearest rank, to a millisecond."""

    def rank(what: str, share: float) -> str:
        return f"min(iif(what = '{what}' AND upto >= {share} * answers, ms, NULL)) / 1e3"

    return f"""SELECT "group", max(answers) AS answers,
  {rank("first", 0.50)} AS first_token_p50,
  {rank("first", 0.95)} AS first_token_p95,
  {rank("whole", 0.50)} AS duration_p50,
  {rank("whole", 0.95)} AS duration_p95,
  1e6 * sum(tokens) / nullif(sum(us), 0) AS output_tokens_per_second
FROM (SELECT {group} AS "group", what, ms, sum(tokens) AS tokens, sum(us) AS us,
    sum(sum(answers)) OVER (PARTITION BY {group}, what ORDER BY ms) AS upto,
    sum(sum(answers)) OVER (PARTITION BY {group}, what) AS answers
  FROM latencies GROUP BY 1, 2, 3)
GROUP BY 1 ORDER BY 1"""


def _repriced(question: Question) -> str:
    """Rows whose money is not what their tokens come to at the rates that lie in them."""
    return _select(
        "count(*) AS rows, coalesce(sum(abs(coalesce(cost_usd, -1) - coalesce(cost_again, -1)) > 1e-12"
        " OR abs(coalesce(baseline_usd, -1) - coalesce(baseline_again, -1)) > 1e-12), 0) AS differing",
        f"repriced WHERE time >= {question.since!r} AND time < {question.until!r}",
    )


def _select(columns: str, rest: str) -> str:
    # The statements are printed for people to run, so their values are literals, quoted here, and not parameters.
    return f"SELECT {columns}\nFROM {rest}"
