"""Two router processes over one PostgreSQL, seen from outside: one ledger, one budget, and nobody waits for it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gridtie.host import keys
from standins.ledger import NOON
from standins.postgresql import Server, postgresql_server
from standins.process import PATIENCE_S, Process, process
from standins.router import Answered, chat, request, routing, run
from standins.scripted import Upstream, whole

__all__ = ["postgresql_server"]

LIMIT_S = 100.0


@pytest.fixture
def url(postgresql_server: Server, tmp_path: Path) -> Path:
    path = tmp_path / "database"
    path.write_text(postgresql_server.database())
    return path


@asynccontextmanager
async def replica(directory: Path, url: Path, rules: str) -> AsyncIterator[Process]:
    directory.mkdir(exist_ok=True)
    async with process(directory, rules, GRIDTIE_DATABASE_FILE=str(url)) as router:
        yield router


async def ask(router: Process, **fields: object) -> Answered:
    wire = await router.connect()
    await wire.send(request(chat(**fields), port=router.port))
    return await wire.answered()


async def requests_of(router: Process) -> int:
    report = await router.get(f"/gridtie/usage?since={NOON - 40 * 86400:.0f}&until=9000000000")
    # 503: it has not caught up yet.
    return int(report.json()["totals"]["requests"]) if report.status_code == 200 else -1


async def until_all_say(count: int, *routers: Process) -> None:
    async with asyncio.timeout(PATIENCE_S):
        for router in routers:
            while await requests_of(router) != count:
                await asyncio.sleep(0.1)


def test_every_router_tells_what_all_were_asked_also_after_one_was_killed(tmp_path: Path, url: Path) -> None:
    async def main() -> None:
        async with Upstream(whole()) as here:
            rules = routing(here.url, use="[local]")
            async with replica(tmp_path / "2", url, rules) as two:
                async with replica(tmp_path / "1", url, rules) as one:
                    told = [await ask(router) for router in (one, two, one)]
                    assert [each.status for each in told] == [200] * 3
                    await until_all_say(3, one, two)
                    row = await two.get(f"/gridtie/requests/{told[0].headers['x-gridtie-request-id']}")
                    assert row.status_code == 200
                    one.child.send_signal(signal.SIGKILL)
                    await one.ended()
                assert (await ask(two)).status == 200
                async with replica(tmp_path / "1", url, rules) as again:
                    await until_all_say(4, two, again)

    run(main, LIMIT_S)


def test_while_the_database_is_down_answers_go_on_and_no_row_is_lost(
    tmp_path: Path, url: Path, postgresql_server: Server
) -> None:
    async def main() -> None:
        async with Upstream(whole()) as here:
            rules = routing(here.url, use="[local]")
            async with replica(tmp_path / "1", url, rules) as one, replica(tmp_path / "2", url, rules) as two:
                await asyncio.to_thread(postgresql_server.stop)
                told = [await ask(router) for router in (one, two) for _ in range(10)]
                assert [each.status for each in told] == [200] * 20
                ready = await one.get("/readyz")
                assert ready.status_code == 200
                await asyncio.to_thread(postgresql_server.start)
                await until_all_say(20, one, two)
                assert "cannot be used" in one.log
                assert "answers again" in one.log

    run(main, LIMIT_S)


def test_two_routers_do_not_overdraw_a_budget(tmp_path: Path, url: Path, postgresql_server: Server) -> None:
    async def main() -> tuple[set[int], int]:
        async with Upstream(whole()) as cloud:
            rules = routing(cloud=cloud.url, use="[cloud]") + "budgets:\n  - {name: all, usd: 0.002, period: month}\n"
            rules = rules.replace("type: openai,", "type: openai, prices: {gpt-5.4-mini: {input: 1, output: 10}},")
            async with replica(tmp_path / "1", url, rules) as one, replica(tmp_path / "2", url, rules) as two:
                statuses = [(await ask(router, max_tokens=20)).status for _ in range(60) for router in (one, two)]
                await until_all_say(120, one, two)
        return set(statuses), statuses.count(200)

    statuses, answered = run(main, LIMIT_S)
    ((spent,),) = postgresql_server.run(
        "SELECT sum(spent_usd) FROM gridtie.requests", (tmp_path / "database").read_text()
    )
    assert statuses == {200, 402}
    assert answered > 2
    assert 0.0 < float(spent) <= 0.002 + 1e-9  # type: ignore[arg-type]


async def until_key_is(status: int, key: str, router: Process) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await router.get("/gridtie/key", key)).status_code != status:
            await asyncio.sleep(0.1)


def test_a_key_that_is_made_and_taken_away_at_one_router_is_so_at_the_other(
    tmp_path: Path, url: Path, postgresql_server: Server
) -> None:
    async def main() -> None:
        rules = routing("http://127.0.0.1:1/v1", use="[local]")
        async with replica(tmp_path / "1", url, rules) as one, replica(tmp_path / "2", url, rules) as two:
            ann = await asyncio.to_thread(keys.add, one.config, "ann", ["dev"])
            await until_key_is(200, ann, two)
            await asyncio.to_thread(postgresql_server.stop)
            bob = await asyncio.to_thread(keys.add, one.config, "bob", ["dev"])
            await until_key_is(200, bob, one)
            assert (await two.get("/gridtie/key", ann)).status_code == 200
            await asyncio.to_thread(postgresql_server.start)
            await until_key_is(200, bob, two)
            await asyncio.to_thread(keys.revoke, one.config, "ann")
            await until_key_is(401, ann, two)
            assert (await two.get("/gridtie/key")).status_code == 200

    run(main, LIMIT_S)


def test_a_database_that_cannot_be_used_is_told_before_anything_is_listened_to(
    tmp_path: Path, url: Path, postgresql_server: Server
) -> None:
    async def main() -> tuple[int, str, str]:
        (tmp_path / "wrong").write_text(postgresql_server.url(password="hunter2"))
        (tmp_path / "1").mkdir()
        router = Process(
            tmp_path / "1",
            routing("http://127.0.0.1:1/v1", use="[local]"),
            GRIDTIE_DATABASE_FILE=str(tmp_path / "wrong"),
        )
        await router.start()
        return await router.ended()

    status, _, errors = run(main, LIMIT_S)
    assert status == 3
    assert "password authentication failed" in errors
    assert "hunter2" not in errors


def test_a_router_leaves_a_share_when_it_stops(tmp_path: Path, url: Path) -> None:
    async def count(router: Process, wanted: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while f"gridtie_replicas {float(wanted)}" not in (await router.get("/metrics")).text:
                await asyncio.sleep(0.1)

    async def main() -> None:
        async with Upstream(whole()) as here:
            rules = routing(here.url, use="[local]", provider=", max_in_flight: 8")
            async with replica(tmp_path / "1", url, rules) as one:
                async with replica(tmp_path / "2", url, rules) as two:
                    await count(one, 2)
                    metrics = (await one.get("/metrics")).text
                    assert 'gridtie_target_slots{target="here/small"} 4.0' in metrics
                    assert (await two.stop())[0] == 0
                await count(one, 1)
                assert 'gridtie_target_slots{target="here/small"} 8.0' in (await one.get("/metrics")).text

    run(main, LIMIT_S)
