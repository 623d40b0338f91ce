"""What each budget has spent in its current period: in memory, so that a decision never waits for a disk."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Literal

from gridtie.config.names import canonical
from gridtie.config.schema import Budget

Period = Literal["hour", "day", "month"]

_HOUR = 3600
# The longest period, and a day of slack for rows that arrive late.
_KEEP_SECONDS = 32 * 24 * _HOUR


def period_start(period: Period, now: float) -> float:
    """Unix time at which the calendar period (UTC) around `now` began."""
    if period == "hour":
        return now // _HOUR * _HOUR
    if period == "day":
        return now // (24 * _HOUR) * (24 * _HOUR)
    month = datetime.datetime.fromtimestamp(now, datetime.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return month.timestamp()


def period_end(period: Period, now: float) -> float:
    """Unix time at which the calendar period (UTC) around `now` ends."""
    longest = {"hour": _HOUR, "day": 24 * _HOUR, "month": 31 * 24 * _HOUR}[period]
    return period_start(period, period_start(period, now) + longest)


class Spending:
    """Cloud spend by hour, environment and key, and running totals for the budgets that were asked about."""

    def __init__(self, rows: Iterable[tuple[float, str, str, float]] = ()) -> None:
        """`rows`: Unix time, environment, key, US dollars."""
        self._hours: dict[tuple[float, str, str], float] = {}
        # (period, its start, environment or None, key or None) -> US dollars.
        self._totals: dict[tuple[Period, float, str | None, str | None], float] = {}
        for row in rows:
            self.add(*row)

    def add(self, time: float, environment: str, key: str, usd: float) -> None:
        """Count one row. Names are compared as a budget's are, with their case folded: older rows keep theirs."""
        environment, key = canonical(environment), canonical(key)
        hour = (period_start("hour", time), environment, key)
        self._hours[hour] = self._hours.get(hour, 0.0) + usd
        for total in self._totals:
            period, start, of_environment, of_key = total
            matches = of_environment in (None, environment) and of_key in (None, key)
            if matches and period_start(period, time) == start:
                self._totals[total] += usd

    def spent(self, budget: Budget, now: float) -> float:
        """US dollars in the budget's period around `now`."""
        start = period_start(budget.period, now)
        total = (budget.period, start, budget.environment, budget.key)
        if total not in self._totals:
            self._forget(now)
            self._totals[total] = sum(
                usd
                for (hour, environment, key), usd in self._hours.items()
                if period_start(budget.period, hour) == start
                and budget.environment in (None, environment)
                and budget.key in (None, key)
            )
        return self._totals[total]

    def _forget(self, now: float) -> None:
        """A period has turned: let go of what no budget can ask for any more."""
        oldest = now - _KEEP_SECONDS
        self._hours = {hour: usd for hour, usd in self._hours.items() if hour[0] >= oldest}
        self._totals = {total: usd for total, usd in self._totals.items() if total[1] >= oldest}
