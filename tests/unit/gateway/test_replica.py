"""Routers that share a budget never overdraw it, whoever is killed, and use nearly all of it."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from gridtie.config.schema import Budget
from gridtie.gateway import replica as module
from gridtie.gateway.replica import Replica
from gridtie.gateway.share import Share
from gridtie.host.commands import keys as command
from gridtie.ledger import Ledger
from gridtie.ledger.budget import period_end
from gridtie.ledger.store import StoreError
from gridtie.providers.target import Target
from gridtie.routing.plan import PlannedAttempt
from gridtie.routing.state import State
from standins.ledger import PRICES, cloud
from standins.postgresql import Server
from standins.router import Station, chat, routing, run
from standins.scripted import Upstream, whole

BUDGET = Budget(name="team", usd=20.0, period="month")
TARGET = Target(id="openai/m", provider="openai", model="m", locality="cloud", dialect="openai", base_url="http://x")
EPSILON = 1e-9


class Router:
    """As much of one as spends money."""

    def __init__(self, directory: Path, url: str) -> None:
        directory.mkdir(exist_ok=True)
        (directory / "database").write_text(url)
        self.replica = Replica(directory / "database", {})
        self.ledger = Ledger(directory / "state", PRICES, open_store=self.replica.open)
        self.state = State(
            spent=lambda budget: self.replica.counted(budget, time.time()),
            unleased=lambda budget: self.replica.unleased(budget, time.time()),
        )
        self.state.update({TARGET.id: TARGET}, [BUDGET])
        self.replica.update([BUDGET])
        self.shares: list[Share] = []
        self._dice = random.Random(directory.name)
        self._count = 0
        self._begun = time.time_ns()

    async def start(self) -> None:
        async def moved() -> None:
            self.replica.keys.merged([])

        await self.replica.start(self.ledger, self.state, self.shares.append, moved)

    @property
    def left(self) -> float:
        return self.state.snapshot(0.0).budget_left["team"]

    async def ask(self, most: float) -> bool:
        """One request that may cost so much, and costs some of it; False where there is no money for it."""
        self._count += 1
        id = f"{self.replica._store.replica}-{self._begun}-{self._count}"
        attempt = PlannedAttempt(target=TARGET, reason="", reserve_usd=most, budgets=("team",))
        reserved = self.state.reserve(attempt)
        if reserved is None:
            self.state.lacked(["team"])
            return False
        now = time.time()
        self.ledger.begin(id, TARGET.id, now, key="k", environment="dev", reserve_usd=most)
        await asyncio.sleep(self._dice.random() * 0.01)
        self.ledger.record(cloud(id, time=now, cost_usd=most * self._dice.random(), reserved_usd=most))
        reserved.release()
        return True

    async def spend(self, until: float) -> None:
        while time.monotonic() < until:
            if not await self.ask(self._dice.choice((0.01, 0.05, 0.2))):
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        await self.replica.close()
        await asyncio.to_thread(self.ledger.close)

    def kill(self) -> None:
        """It is gone between two transactions: nothing is given back, nothing drained any more."""
        if self.replica._task is not None:
            self.replica._task.cancel()
        self.ledger._store = _Gone()  # type: ignore[assignment]
        self.replica._store.database.close()
        self.ledger._journal.close()
        os.close(self.ledger._lock)


class _Gone:
    def save(self, records: object) -> None:
        raise StoreError("gone")

    def refresh(self) -> None: ...


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUND_SECONDS", 0.05)


def spent(server: Server, url: str) -> float:
    ((usd,),) = server.run(
        "SELECT coalesce((SELECT sum(spent_usd) FROM gridtie.requests), 0) "
        "+ coalesce((SELECT sum(reserve_usd) FROM gridtie.attempts), 0)",
        url,
    )
    return float(usd)  # type: ignore[arg-type]


def test_three_routers_of_which_one_is_killed_and_comes_back_never_overdraw(
    tmp_path: Path, postgresql_server: Server
) -> None:
    url = postgresql_server.database()

    async def main() -> float:
        routers = [Router(tmp_path / name, url) for name in "abc"]
        for router in routers:
            await router.start()
        until = time.monotonic() + 1.5
        work = [asyncio.create_task(router.spend(until)) for router in routers for _ in range(4)]
        await asyncio.sleep(0.4)
        for task in work[:4]:
            task.cancel()
        routers[0].kill()
        await asyncio.gather(*work, return_exceptions=True)
        # What the killed one had leased is nobody's until it comes back.
        routers[0] = Router(tmp_path / "a", url)
        await routers[0].start()
        until = time.monotonic() + 4.0
        await asyncio.gather(*(router.spend(until) for router in routers))
        for router in routers:
            await router.stop()
        return spent(postgresql_server, url)

    total = run(main, 60.0)
    assert total <= BUDGET.usd + EPSILON
    assert total >= 0.9 * BUDGET.usd


def test_a_database_that_is_down_leaves_what_was_leased_and_no_more(tmp_path: Path, postgresql_server: Server) -> None:
    url = postgresql_server.database()

    async def main() -> tuple[float, float]:
        one, two = Router(tmp_path / "1", url), Router(tmp_path / "2", url)
        await one.start()
        await two.start()
        await asyncio.sleep(0.3)
        await asyncio.to_thread(postgresql_server.let_in, "ledger", False)
        await asyncio.sleep(0.2)
        before = one.left
        while await one.ask(0.1):
            pass
        after = one.left
        await asyncio.to_thread(postgresql_server.let_in, "ledger", True)
        async with asyncio.timeout(30):
            while not await one.ask(0.1):
                await asyncio.sleep(0.05)
        await one.stop()
        await two.stop()
        return before, after

    before, after = run(main, 60.0)
    assert 0.5 < before < BUDGET.usd / 2
    assert 0.0 <= after < 0.1
    assert spent(postgresql_server, url) <= BUDGET.usd + EPSILON


def test_one_that_needs_more_than_its_lease_soon_has_it(tmp_path: Path, postgresql_server: Server) -> None:
    url = postgresql_server.database()

    async def main() -> bool:
        one, two = Router(tmp_path / "1", url), Router(tmp_path / "2", url)
        await one.start()
        await two.start()
        first = await one.ask(15.0)
        async with asyncio.timeout(20):
            while not await one.ask(15.0):
                await asyncio.sleep(0.05)
        await one.stop()
        await two.stop()
        return not first

    assert run(main, 60.0)


def test_people_are_told_what_is_left_to_all(tmp_path: Path, postgresql_server: Server) -> None:
    url = postgresql_server.database()

    async def main() -> tuple[float, float]:
        one, two = Router(tmp_path / "1", url), Router(tmp_path / "2", url)
        await one.start()
        await two.start()
        await asyncio.sleep(0.3)
        told = one.left, one.state.left_to_all("team")
        await one.stop()
        await two.stop()
        return told

    left, told = run(main, 60.0)
    assert left < BUDGET.usd / 4
    # All of it, but for what the other one holds.
    assert 0.8 * BUDGET.usd < told < BUDGET.usd


def test_a_router_that_stops_gives_back_and_the_others_share_anew(tmp_path: Path, postgresql_server: Server) -> None:
    url = postgresql_server.database()

    async def main() -> list[Share]:
        one, two = Router(tmp_path / "1", url), Router(tmp_path / "2", url)
        await one.start()
        await two.start()
        async with asyncio.timeout(20):
            while not one.shares:
                await asyncio.sleep(0.02)
            await two.stop()
            while one.left < BUDGET.usd:
                await asyncio.sleep(0.02)
        shares = one.shares
        await one.stop()
        return shares

    shares = run(main, 60.0)
    assert [share.count for share in shares] == [2, 1]


def test_a_lease_of_the_next_period_is_there_before_it_begins(
    tmp_path: Path, postgresql_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql_server.database()
    hour = Budget(name="team", usd=2.0, period="hour")
    ends = period_end("hour", time.time())

    async def main() -> list[float]:
        router = Router(tmp_path / "1", url)
        router.state.update({TARGET.id: TARGET}, [hour])
        router.replica.update([hour])
        monkeypatch.setattr(module, "time", lambda: ends - 300.0)
        await router.start()
        left = [hour.usd - router.replica.counted(hour, ends + 1.0)]
        monkeypatch.setattr(module, "time", lambda: ends - 30.0)
        async with asyncio.timeout(20):
            while router.replica.counted(hour, ends + 1.0):
                await asyncio.sleep(0.02)
        left.append(hour.usd - router.replica.counted(hour, ends - 30.0))
        await router.stop()
        return left

    assert run(main, 60.0) == [0.0, 2.0]


def test_a_request_without_money_is_noted_as_demand_and_one_that_has_it_is_not(tmp_path: Path) -> None:
    async def main() -> tuple[frozenset[str], frozenset[str]]:
        async with Upstream(whole()) as cloud:
            rules = routing(cloud=cloud.url, use="[cloud]") + (
                "budgets:\n  - {name: ample, usd: 9, period: day}\n  - {name: tight, usd: 0.000001, period: day}\n"
            )
            async with Station(tmp_path, rules) as station:
                assert (await station.ask(chat(max_tokens=20))).status == 402
                state = station.router.state
                return state.lacking(), state.lacking()

    assert run(main) == ({"tight"}, frozenset())


def test_parts_add_up_to_the_whole_and_none_is_nothing() -> None:
    for all_of_it in (1, 2, 7, 60):
        for count in (1, 2, 3, 5):
            parts = [Share(count, place).part(all_of_it) for place in range(count)]
            assert sum(parts) == max(all_of_it, count)
            assert min(parts) >= 1


def test_the_command_that_lists_keys_knows_where_it_is_noted_that_they_are_shared() -> None:
    assert command.HANDED_OVER == module.HANDED_OVER
