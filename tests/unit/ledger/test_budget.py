"""What a budget has spent, by calendar period, environment and key."""

from __future__ import annotations

import datetime

import pytest

from gridtie.config.schema import Budget
from gridtie.ledger.budget import Period, Spending, period_end, period_start


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text + "+00:00").timestamp()


NOW = at("2026-11-22T14:30:00")

ROWS = [
    (at("2026-11-22T14:00:00"), "dev", "ann", 1.0),
    (at("2026-11-22T13:59:59"), "dev", "ann", 2.0),
    (at("2026-11-22T00:00:00"), "production", "ann", 4.0),
    (at("2026-11-21T23:59:59"), "dev", "bob", 8.0),
    (at("2026-11-01T00:00:00"), "dev", "bob", 16.0),
    (at("2026-10-31T23:59:59"), "dev", "bob", 32.0),
]


@pytest.mark.parametrize(
    ("budget", "dollars"),
    [
        (Budget(name="b", usd=9, period="hour"), 1.0),
        (Budget(name="b", usd=9, period="day"), 7.0),
        (Budget(name="b", usd=9, period="month"), 31.0),
        (Budget(name="b", usd=9, period="day", environment="dev"), 3.0),
        (Budget(name="b", usd=9, period="month", key="bob"), 24.0),
        (Budget(name="b", usd=9, period="month", environment="production", key="bob"), 0),
    ],
)
@pytest.mark.parametrize("asked_first", [False, True], ids=["from the past", "as it is spent"])
def test_a_budget_counts_what_it_covers(budget: Budget, dollars: float, asked_first: bool) -> None:
    """The same whether rows were there before the first question or came after it."""
    spending = Spending([] if asked_first else ROWS)
    if asked_first:
        spending.spent(budget, NOW)
        for row in ROWS:
            spending.add(*row)
    assert spending.spent(budget, NOW) == dollars


def test_a_new_period_starts_at_nothing() -> None:
    spending = Spending(ROWS)
    assert spending.spent(Budget(name="b", usd=9, period="day"), NOW + 86400) == 0


def test_a_row_that_arrives_after_its_period_counts_in_its_own() -> None:
    spending = Spending()
    day = Budget(name="b", usd=9, period="day")
    spending.spent(day, NOW)
    spending.add(at("2026-11-21T23:59:59"), "dev", "ann", 5.0)
    assert spending.spent(day, NOW) == 0
    assert spending.spent(Budget(name="m", usd=9, period="month"), NOW) == 5.0


@pytest.mark.parametrize(
    ("period", "start"),
    [("hour", "2026-11-22T14:00:00"), ("day", "2026-11-22T00:00:00"), ("month", "2026-11-01T00:00:00")],
)
def test_periods_are_those_of_the_calendar_in_utc(period: Period, start: str) -> None:
    assert period_start(period, NOW) == at(start)


@pytest.mark.parametrize("month", range(1, 13))
def test_a_period_ends_where_the_next_one_begins(month: int) -> None:
    for day in (1, 15, 28):
        now = datetime.datetime(2028, month, day, 13, 37, tzinfo=datetime.UTC).timestamp()
        for period in ("hour", "day", "month"):
            end = period_end(period, now)

            assert period_start(period, now) <= now < end
            assert period_start(period, end) == end
            assert period_start(period, end - 1) == period_start(period, now)


def test_names_in_rows_are_compared_as_the_budgets_are() -> None:
    """Rows of 1.0.0 have names as they were spelled then."""
    spending = Spending([(NOW, "Production", "CI ", 1.0)])
    budget = Budget(name="b", usd=10.0, period="day", environment="production", key="ci")
    assert spending.spent(budget, NOW) == 1.0
    spending.add(NOW, "PRODUCTION", "ci", 0.5)
    assert spending.spent(budget, NOW) == 1.5
