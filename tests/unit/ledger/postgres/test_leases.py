"""What a replica is given of a budget: never more than there is, and all where it is alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.config.schema import Budget
from gridtie.ledger.budget import period_start
from gridtie.ledger.postgres.address import Address
from gridtie.ledger.postgres.database import Database
from gridtie.ledger.postgres.leases import Lease, Leases, Wish, lease
from standins.ledger import cloud
from unit.ledger.postgres.conftest import Open

BUDGET = Budget(name="team", usd=120.0, period="month")
EPSILON = 1e-9

amounts = st.floats(0, 200)


def wish(used: float = 0.0, holds: float | None = 0.0, *, usd: float = 120.0, demand: float = 1.0) -> Wish:
    return Wish(budget=Budget(name="team", usd=usd, period="month"), start=0.0, used=used, holds=holds, demand=demand)


def test_one_that_is_alone_has_all_of_it() -> None:
    assert lease(wish(used=20.0), 0.0, 0.0, 1).usd == 120.0


def test_of_several_each_holds_a_fourth_of_its_even_part_beforehand() -> None:
    assert lease(wish(), 0.0, 0.0, 3).usd == pytest.approx(10.0)
    assert lease(wish(used=4.0), 0.0, 8.0, 3).usd == pytest.approx(4.0 + 9.0)


def test_of_a_small_budget_the_even_part_is_held() -> None:
    assert lease(wish(usd=1.2), 0.0, 0.0, 3).usd == pytest.approx(0.4)


def test_nothing_moves_while_there_is_enough() -> None:
    assert lease(wish(used=4.0, holds=10.0), 10.0, 10.0, 3).usd == 10.0


def test_demand_that_is_not_met_brings_more_and_at_last_all_that_is_free() -> None:
    given = [lease(wish(used=1.0, holds=10.0, demand=demand), 10.0, 0.0, 3).usd for demand in (1.0, 2.0, 4.0, 24.0)]
    assert given == sorted(given)
    assert (given[0], given[-1]) == (10.0, 120.0)


def test_one_that_goes_by_less_gives_the_rest_back() -> None:
    assert lease(wish(used=5.0, holds=15.0), 60.0, 60.0, 3).usd == 15.0


def test_what_was_spent_counts_also_where_it_is_more_than_there_was() -> None:
    assert lease(wish(used=150.0, holds=None), 10.0, 0.0, 2) == Lease(usd=150.0, spare=0.0)


@given(amounts, amounts, amounts, st.one_of(st.none(), amounts), st.integers(1, 9), st.floats(1, 100))
def test_no_lease_goes_beyond_what_is_left_by_the_others(
    used: float, written: float, others: float, holds: float | None, count: int, demand: float
) -> None:
    holds = None if holds is None else min(holds, written)
    usd = lease(wish(used=used, holds=holds, demand=demand), written, others, count).usd
    assert usd >= used
    assert usd <= max(120.0 - others, used, written if holds is None else holds) + EPSILON


def leased(database: Database) -> dict[str, float]:
    with database.transaction() as cursor:
        cursor.execute("SELECT replica, usd FROM gridtie.leases")
        return dict(cursor.fetchall())


def test_what_was_spent_before_there_was_a_budget_is_booked_to_who_spent_it(replica: Open, address: Address) -> None:
    now = time.time()
    one, two = replica("1"), replica("2")
    one.save([cloud("a", time=now, cost_usd=70.0, key="ann"), cloud("b", time=now, cost_usd=5.0, key="bob")])
    two.save([cloud("c", time=now, cost_usd=40.0, key="Ann ")])
    budget = Budget(name="of ann", usd=120.0, period="month", key="ann")
    start = period_start("month", now)
    found = Leases(two.database).exchange([Wish(budget=budget, start=start, used=40.0, holds=None)])
    assert leased(one.database)[one.replica] == 70.0
    assert 40.0 < found.leases["of ann", start].usd <= 50.0
    assert found.count == 2


def test_a_thousand_budgets_of_keys_are_leased_at_once(replica: Open) -> None:
    now = time.time()
    one = replica("1")
    one.save([cloud(f"{n}", time=now, cost_usd=1.0, key=f"key-{n}") for n in range(500)])
    budgets = [
        Budget(name=f"{period}-{n}", usd=5.0, period=period, key=f"key-{n}")
        for n in range(500)
        for period in ("day", "month")
    ]
    wishes = [Wish(budget=each, start=period_start(each.period, now), used=1.0, holds=None) for each in budgets]
    leases = Leases(one.database)
    began = time.monotonic()
    leases.exchange(wishes)
    found = leases.exchange(wishes)
    assert time.monotonic() - began < 10.0
    assert {each.usd for each in found.leases.values()} == {5.0}


def test_what_is_given_back_is_there_for_the_others(replica: Open) -> None:
    one, two = replica("1"), replica("2")
    first, second = Leases(one.database), Leases(two.database)
    first.exchange([wish(holds=None)])
    first.give_back([wish(used=3.0, holds=15.0)])
    assert leased(two.database) == {one.replica: 3.0}
    one.close()
    found = second.exchange([wish(holds=None)])
    assert (found.count, found.leases["team", 0.0].usd) == (1, 117.0)
