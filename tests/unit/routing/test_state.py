"""Slots and money are handed out once, in order, and always come back."""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Any

import pytest

from gridtie.config.schema import Budget
from gridtie.dialects.types import Failed, Failure
from gridtie.providers.target import Target
from gridtie.routing.plan import PlannedAttempt
from gridtie.routing.state import Lease, State


def target(name: str = "a", *, slots: int | None = 1, provider: str = "p", **fields: Any) -> Target:
    return Target(
        id=f"{provider}/{name}",
        provider=provider,
        model=name,
        locality="local",
        dialect="ollama",
        base_url="http://engine",
        slots=slots,
        **fields,
    )


def attempt(to: Target, usd: float = 0.0, *budgets: str) -> PlannedAttempt:
    return PlannedAttempt(target=to, reason="", reserve_usd=usd, budgets=budgets)


def made(*targets: Target, budgets: list[Budget] | None = None, spent: float = 0.0) -> State:
    made = State(lambda budget: spent)
    made.update({each.id: each for each in targets}, budgets or [])
    return made


def soon() -> float:
    return monotonic() + 5


def taken(w: State, t: Target) -> tuple[int, int]:
    state = w.snapshot(0).states[t.id]
    return state.in_flight, state.waiting


def test_a_slot_is_given_once_until_it_comes_back() -> None:
    a = target()
    w = made(a)
    lease = w.reserve(attempt(a))

    assert lease is not None
    assert w.reserve(attempt(a)) is None
    lease.release()
    assert w.reserve(attempt(a)) is not None


def test_releasing_twice_gives_back_one_slot() -> None:
    a = target(slots=2)
    w = made(a)
    first, _second = w.reserve(attempt(a)), w.reserve(attempt(a))
    assert first is not None
    first.release()
    first.release()

    assert taken(w, a) == (1, 0)


def test_the_limit_of_a_provider_is_shared_by_its_targets() -> None:
    a, b = (target(name, slots=None, provider_slots=1) for name in "ab")
    w = made(a, b)
    w.reserve(attempt(a))

    assert w.reserve(attempt(b)) is None


def test_who_waits_is_served_in_order_and_never_overtaken() -> None:
    async def main() -> list[str]:
        a = target()
        w, served = made(a), list[str]()
        lease = w.reserve(attempt(a))
        assert lease is not None

        async def client(name: str) -> None:
            got = await w.wait(attempt(a), soon())
            assert got is not None
            served.append(name)
            await asyncio.sleep(0)
            got.release()

        tasks = [asyncio.create_task(client(name)) for name in "123"]
        await asyncio.sleep(0)
        lease.release()
        # The slot is the first waiter's already, though it has not run yet.
        assert w.reserve(attempt(a)) is None
        await asyncio.gather(*tasks)
        return served

    assert asyncio.run(main()) == ["1", "2", "3"]


def test_waiting_ends_at_the_deadline() -> None:
    async def main() -> tuple[Lease | None, tuple[int, int]]:
        a = target()
        w = made(a)
        w.reserve(attempt(a))
        return await w.wait(attempt(a), monotonic() + 0.01), taken(w, a)

    assert asyncio.run(main()) == (None, (1, 0))


def test_a_slot_that_is_handed_to_somebody_who_has_just_gone_passes_on() -> None:
    async def main() -> tuple[bool, tuple[int, int]]:
        a = target()
        w = made(a)
        lease = w.reserve(attempt(a))
        assert lease is not None
        gone = asyncio.create_task(w.wait(attempt(a), soon()))
        stays = asyncio.create_task(w.wait(attempt(a), soon()))
        await asyncio.sleep(0)
        lease.release()  # handed to `gone`,
        gone.cancel()  # which is cancelled before it can run
        got = await asyncio.wait_for(stays, 1)
        return got is not None and gone.cancelled(), taken(w, a)

    assert asyncio.run(main()) == (True, (1, 0))


def test_a_full_target_does_not_hold_up_another_one_of_its_provider() -> None:
    async def main() -> bool:
        a, b = (target(name, provider_slots=2) for name in "ab")
        w = made(a, b)
        w.reserve(attempt(a))
        lease = w.reserve(attempt(b))
        assert lease is not None
        first = asyncio.create_task(w.wait(attempt(a), soon()))
        second = asyncio.create_task(w.wait(attempt(b), soon()))
        await asyncio.sleep(0)
        lease.release()
        got = await asyncio.wait_for(second, 1)
        first.cancel()
        return got is not None

    assert asyncio.run(main())


def test_a_thousand_random_arrivals_departures_and_cancellations_leave_nothing_taken() -> None:
    async def main(seed: int) -> None:
        dice = random.Random(seed)
        targets = [target("a", slots=1, provider_slots=3), target("b", slots=3, provider_slots=3), target("c", slots=2)]
        w = made(*targets, budgets=[Budget(name="all", usd=2.0)])
        running: dict[str, int] = {}

        async def client() -> None:
            to = dice.choice(targets)
            asked = attempt(to, 0.3, "all") if dice.random() < 0.3 else attempt(to)
            lease = w.reserve(asked) if dice.random() < 0.3 else None
            lease = lease or await w.wait(asked, monotonic() + dice.random() * 0.02)
            if lease is None:
                return
            try:
                running[to.id] = running.get(to.id, 0) + 1
                assert running[to.id] <= (to.slots or 99)
                assert sum(running.get(each.id, 0) for each in targets[:2]) <= 3
                assert w.budget_left("all") >= -1e-9
                await asyncio.sleep(dice.random() * 0.002)
            finally:
                running[to.id] -= 1
                lease.release()

        tasks = []
        for _ in range(300):
            tasks.append(asyncio.create_task(client()))
            if dice.random() < 0.5:
                await asyncio.sleep(0)
            if dice.random() < 0.4:
                dice.choice(tasks).cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        failures = [one for one in results if isinstance(one, BaseException)]
        assert all(isinstance(one, asyncio.CancelledError) for one in failures), failures
        assert [taken(w, each) for each in targets] == [(0, 0)] * 3
        assert w.budget_left("all") == pytest.approx(2.0)
        # Nothing is stuck: every slot can be had at once.
        assert all(w.reserve(attempt(targets[1])) for _ in range(3))

    for seed in range(4):
        asyncio.run(main(seed))


# Money


def test_money_is_reserved_until_the_lease_ends() -> None:
    a = target(slots=None)
    w = made(a, budgets=[Budget(name="day", usd=1.0)], spent=0.5)
    lease = w.reserve(attempt(a, 0.4, "day"))
    assert lease is not None

    assert w.snapshot(0).budget_left["day"] == pytest.approx(0.1)
    assert w.reserve(attempt(a, 0.2, "day")) is None
    lease.release()
    assert w.budget_left("day") == pytest.approx(0.5)


def test_who_waits_for_a_slot_leaves_without_it_when_the_money_is_gone() -> None:
    async def main() -> tuple[Lease | None, tuple[int, int]]:
        a = target()
        w = made(a, budgets=[Budget(name="day", usd=1.0)])
        lease = w.reserve(attempt(a))
        assert lease is not None
        waiting = asyncio.create_task(w.wait(attempt(a, 0.9, "day"), soon()))
        await asyncio.sleep(0)
        w.update({a.id: a}, [Budget(name="day", usd=0.5)])
        lease.release()
        return await waiting, taken(w, a)

    assert asyncio.run(main()) == (None, (0, 0))


# Reload


def test_a_reload_keeps_what_is_in_flight() -> None:
    a = target()
    w = made(a)
    lease = w.reserve(attempt(a))
    assert lease is not None
    w.update({a.id: target()})

    assert w.reserve(attempt(a)) is None
    lease.release()
    assert taken(w, a) == (0, 0)


def test_a_target_that_is_gone_is_forgotten_when_its_last_request_ends() -> None:
    a = target()
    w = made(a)
    lease = w.reserve(attempt(a))
    assert lease is not None
    w.update({})
    assert a.id in w.snapshot(0).states
    lease.release()

    assert a.id not in w.snapshot(0).states


def test_more_slots_after_a_reload_are_given_to_who_waits() -> None:
    async def main() -> Lease | None:
        a = target()
        w = made(a)
        w.reserve(attempt(a))
        waiting = asyncio.create_task(w.wait(attempt(a), soon()))
        await asyncio.sleep(0)
        w.update({a.id: target(slots=2)})
        return await asyncio.wait_for(waiting, 1)

    assert asyncio.run(main()) is not None


def test_another_key_or_address_ends_the_pause_that_the_old_one_earned() -> None:
    a = target()
    w = made(a)
    w.failed(a.id, Failure(kind=Failed.AUTH, message="401"), 100.0)
    w.update({a.id: target(headers=(("authorization", "Bearer new"),))})

    assert w.snapshot(0).states[a.id].retry_at == 0.0


# What is learnt


def test_success_ends_what_was_held_against_a_target() -> None:
    a = target()
    w = made(a)
    w.failed(a.id, Failure(kind=Failed.UNREACHABLE, message="refused"), 100.0)
    w.set_ready(a.id, False, "refused")
    w.succeeded(a.id)

    state = w.snapshot(0).states[a.id]
    assert (state.ready, state.retry_at, state.failures, state.last_error) == (True, 0.0, 0, "")


def test_a_probe_that_succeeds_ends_the_pause_after_a_failure_to_connect() -> None:
    a = target()
    w = made(a)
    w.set_ready(a.id, False, "refused")
    w.failed(a.id, Failure(kind=Failed.UNREACHABLE, message="refused"), 100.0)
    w.set_ready(a.id, True)

    state = w.snapshot(0).states[a.id]
    assert (state.ready, state.retry_at, state.last_error) == (True, 0.0, "")


def test_a_request_that_could_not_connect_is_told_to_the_probes_at_once() -> None:
    a = target()
    w, told = made(a), list[str]()
    w.on_failure = told.append
    w.failed(a.id, Failure(kind=Failed.UNREACHABLE, message="refused"), 100.0)
    w.failed(a.id, Failure(kind=Failed.CONTEXT, message="too long"), 100.0)

    assert told == [a.id]


class TestAPool:
    """What a station lends, and what it knows of stations that lend."""

    def test_requests_of_other_stations_are_limited_and_the_own_are_not(self) -> None:
        a, b = target("a", slots=4, max_relayed=1), target("b", slots=4, max_relayed=1)
        w = made(a, b)
        relayed = PlannedAttempt(target=a, reason="", relayed=True)
        first = w.reserve(relayed)

        # Over all models of the provider.
        assert first is not None and w.reserve(PlannedAttempt(target=b, reason="", relayed=True)) is None
        assert (w.offer(a).free, w.offer(b).free) == (0, 0)
        assert w.reserve(attempt(a)) is not None
        first.release()
        assert w.offer(a).free == 1
        assert w.reserve(relayed) is not None

    def test_a_station_that_lends_nothing_offers_nothing(self) -> None:
        a = target("a", slots=4, max_relayed=0)
        w = made(a)

        assert w.offer(a).free == 0
        assert w.reserve(PlannedAttempt(target=a, reason="", relayed=True)) is None

    def test_who_waits_for_what_is_lent_gets_it_when_it_comes_back(self) -> None:
        async def work() -> bool:
            a = target("a", slots=4, max_relayed=1)
            w = made(a)
            relayed = PlannedAttempt(target=a, reason="", relayed=True)
            first = w.reserve(relayed)
            waiting = asyncio.ensure_future(w.wait(relayed, soon()))
            await asyncio.sleep(0)
            assert first is not None and not waiting.done()
            # Somebody waits: nothing more is offered.
            assert w.offer(a).free == 0
            first.release()
            return await waiting is not None

        assert asyncio.run(work())

    def test_an_offer_holds_for_what_is_in_flight_then_and_after(self) -> None:
        a = target("a", slots=4, lends=True)
        w = made(a)
        held = w.reserve(attempt(a))
        w.set_offer(a.id, 1)

        assert w.reserve(attempt(a)) is not None
        assert w.reserve(attempt(a)) is None
        assert held is not None
        held.release()
        assert w.free(attempt(a))

    def test_a_member_that_says_nothing_any_more_has_as_many_slots_as_its_file_says(self) -> None:
        a = target("a", slots=2, lends=True)
        w = made(a)
        w.set_offer(a.id, 0)
        assert not w.free(attempt(a))
        w.set_offer(a.id, None)
        assert w.free(attempt(a))

    def test_a_server_behind_vllm_router_takes_its_slots_with_it_and_brings_them_back(self) -> None:
        async def work() -> bool:
            a = target("a", slots=2, servers=(("https://a", 1), ("https://b", 1)))
            w = made(a)
            assert w.reserve(attempt(a)) is not None
            w.set_slots(a.id, 1)
            waiting = asyncio.ensure_future(w.wait(attempt(a), soon()))
            await asyncio.sleep(0)
            assert taken(w, a) == (1, 1)
            w.set_slots(a.id, 2)
            return await waiting is not None

        assert asyncio.run(work())

    def test_one_that_refused_is_full_until_it_says_otherwise_or_grants_a_slot(self) -> None:
        a = target("a", slots=2, lends=True)
        w = made(a)
        refused = w.reserve(attempt(a))
        w.full(a.id)
        assert refused is not None
        refused.release()
        assert not w.free(attempt(a))

        w.granted(attempt(a))
        assert taken(w, a) == (1, 0)
        assert w.reserve(attempt(a)) is None

    def test_a_speed_is_of_the_latest_answers_and_forgotten_when_the_engine_was_away(self) -> None:
        a = target("a", lends=True)
        w = made(a)
        for _ in range(50):
            w.measured(a.id, 100, 1.0, 5.0)
        for _ in range(50):
            w.measured(a.id, 100, 10.0, 6.0)
        state = w.snapshot(0).states[a.id]
        assert state.tokens / state.seconds == pytest.approx(10, rel=0.05)

        w.set_ready(a.id, False)
        w.set_ready(a.id, True)
        assert state.seconds == 0
