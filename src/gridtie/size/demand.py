"""What one developer asks: as assumed, or as a ledger has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gridtie.config.names import RELAY
from gridtie.dialects.types import Usage
from gridtie.report.assumptions import Traffic
from gridtie.report.ledger_file import opened
from gridtie.report.sql import quoted
from gridtie.size.basis import Basis
from gridtie.size.errors import SizeError
from gridtie.size.plan import Rhythm, Speed

DAYS_OF_A_MONTH = 365 / 12
_DAY = 86_400.0


@dataclass(frozen=True)
class Spread:
    """Variances of a request's tokens: prompt tokens to be read, tokens written, and their covariance."""

    read: float
    written: float
    both: float


@dataclass(frozen=True)
class Demand:
    """Of one developer, on a working day."""

    requests_per_day: float
    # Means of a request; `cached` of the input tokens are read from a cache and take no time.
    input_tokens: float
    cached_tokens: float
    output_tokens: float
    # In the busiest hour.
    requests_per_second: float
    working_days: float
    arrivals_scv: float
    # Where no request was seen: that of answers' times.
    answers_scv: float
    spread: Spread | None
    basis: tuple[Basis, ...]

    def service_s(self, speed: Speed) -> float:
        """Seconds that a request takes without waiting, on average."""
        read = (self.input_tokens - self.cached_tokens) / speed.prompt_tokens_per_second
        return read + self.output_tokens / speed.tokens_per_second

    def service_scv(self, speed: Speed) -> float:
        """Squared coefficient of variation of these seconds."""
        if self.spread is None:
            return self.answers_scv
        read, written = 1 / speed.prompt_tokens_per_second, 1 / speed.tokens_per_second
        variance = self.spread.read * read**2 + self.spread.written * written**2 + 2 * self.spread.both * read * written
        return max(variance, 0.0) / self.service_s(speed) ** 2

    @property
    def mean_request(self) -> Usage:
        """One request, for a price list."""
        return Usage(input=round(self.input_tokens), output=round(self.output_tokens), cached=round(self.cached_tokens))


def assumed(traffic: Traffic, rhythm: Rhythm) -> Demand:
    """As the file says."""
    mean = traffic.requests_per_day / (rhythm.hours_per_day * 3600)
    return Demand(
        requests_per_day=traffic.requests_per_day,
        input_tokens=traffic.input_tokens,
        cached_tokens=traffic.input_tokens * traffic.cached_share,
        output_tokens=traffic.output_tokens,
        requests_per_second=mean * rhythm.peak,
        working_days=traffic.days,
        arrivals_scv=rhythm.arrivals_scv,
        answers_scv=rhythm.answers_scv,
        spread=None,
        basis=(
            Basis(
                "traffic of a developer",
                f"{traffic.requests_per_day:g} requests a day of {traffic.input_tokens:,} tokens in "
                f"({traffic.cached_share:.0%} cached) and {traffic.output_tokens:,} out, {traffic.days} days a month",
                "assumed",
                "`traffic` of the file",
            ),
            Basis(
                "busiest hour",
                f"{rhythm.peak:g} times a mean hour of {rhythm.hours_per_day:g} a day",
                "assumed",
                "`rhythm` of the file",
            ),
            Basis(
                "variability",
                f"squared coefficient of variation {rhythm.arrivals_scv:g} between requests, "
                f"{rhythm.answers_scv:g} of answers' times",
                "assumed",
                "`rhythm` of the file",
            ),
        ),
    )


def measured(path: Path, since: float, until: float, rhythm: Rhythm) -> Demand:
    """As a ledger has it, by Unix seconds: each key is a developer. Raises `SizeError`, `UnreadableError`."""
    rows = (
        f"metered WHERE time >= {since!r} AND time < {until!r} AND environment <> {quoted(RELAY)} "
        "AND purpose = '' AND answered"
    )
    read = "(input_tokens - cached_tokens)"
    with opened(path) as connection:
        found = connection.execute(
            f"""SELECT count(*) AS requests, count(DISTINCT key) AS keys, count(DISTINCT day) AS days,
              min(time) AS first, avg(input_tokens) AS input, avg(cached_tokens) AS cached,
              avg(output_tokens) AS output, avg({read}) AS read,
              avg(1.0 * {read} * {read}) AS read2, avg(1.0 * output_tokens * output_tokens) AS output2,
              avg(1.0 * {read} * output_tokens) AS both FROM {rows}"""  # noqa: S608 - numbers and a constant
        ).fetchone()
        (busiest,) = connection.execute(
            f"SELECT max(asked) FROM (SELECT count(*) AS asked FROM {rows} GROUP BY cast(time / 3600 AS INTEGER))"  # noqa: S608
        ).fetchone()
    if not found["requests"]:
        raise SizeError(f"{path}: no request of a user was answered in the period; see --since, or name `traffic`")
    if found["read"] + found["output"] <= 0:
        raise SizeError(f"{path}: its requests have no tokens, so that nothing is known of their size; name `traffic`")
    keys, days = found["keys"], found["days"]
    period = max((until - max(since, found["first"])) / _DAY, days)
    counted = f"{found['requests']:,} answered requests of {keys} keys on {days} days in {path.name}"
    a_day = found["requests"] / keys / days
    working_days = days / period * DAYS_OF_A_MONTH
    return Demand(
        requests_per_day=a_day,
        input_tokens=found["input"],
        cached_tokens=found["cached"],
        output_tokens=found["output"],
        requests_per_second=busiest / keys / 3600,
        working_days=working_days,
        arrivals_scv=rhythm.arrivals_scv,
        answers_scv=rhythm.answers_scv,
        spread=Spread(
            found["read2"] - found["read"] ** 2,
            found["output2"] - found["output"] ** 2,
            found["both"] - found["read"] * found["output"],
        ),
        basis=(
            Basis(
                "traffic of a developer",
                f"{a_day:,.1f} requests on a day with any, of {found['input']:,.0f} tokens in "
                f"({found['cached']:,.0f} cached) and {found['output']:,.0f} out, {working_days:.1f} days a month",
                "measured",
                counted,
            ),
            Basis("a key is a developer", f"{keys} keys", "assumed", "the ledger knows no persons"),
            Basis("busiest hour", f"{busiest:,} requests of all keys", "measured", counted),
            Basis("variability of answers' times", "from the tokens of each request", "measured", counted),
            Basis(
                "variability between requests",
                f"squared coefficient of variation {rhythm.arrivals_scv:g}",
                "assumed",
                "`rhythm` of the file",
            ),
        ),
    )
