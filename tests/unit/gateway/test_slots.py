"""Members of a pool and routers that ask them: who gets a slot, and what becomes of those that do not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gridtie.gateway.serve import Options, Router
from gridtie.providers import relay
from standins.authority import make_authority
from standins.pool import MODEL, Engine, Member, asking, lending, model, relay_key
from standins.process import free_port
from standins.router import KEY, Answered, Wire, chat, request, run


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("authority")
    make_authority(directory)
    return directory


class Running:
    """A router that runs in this process."""

    def __init__(self, router: Router) -> None:
        self.router = router
        self._wires: list[Wire] = []

    async def _connect(self) -> Wire:
        self._wires.append(Wire(*await asyncio.open_connection("127.0.0.1", self.router.port)))
        return self._wires[-1]

    def close(self) -> None:
        for wire in self._wires:
            wire.close()

    async def send(self, text: str, key: str = KEY, **more: Any) -> Wire:
        wire = await self._connect()
        await wire.send(request(chat(text), port=self.router.port, key=key, **more))
        return wire

    async def ask(self, text: str, **more: Any) -> Answered:
        return await (await self.send(text, **more)).answered()

    async def slot(self, key: str, wait: float = 0.0, **more: Any) -> Wire:
        wire = await self._connect()
        body = {"model": MODEL, "wait": wait, **more}
        await wire.send(request(body, path=relay.PATH, port=self.router.port, key=key))
        return wire

    def taken(self) -> int:
        return sum(state.in_flight for state in self.router.state.snapshot(0.0).states.values())

    async def until(self, taken: int) -> None:
        async with asyncio.timeout(5):
            while self.taken() != taken:
                await asyncio.sleep(0.01)

    async def seen(self) -> None:
        """Until every probe has been answered."""
        async with asyncio.timeout(5):
            while any(state.loaded is None for state in self.router.state.snapshot(0.0).states.values()):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def router(config: Path, tls_port: int = 0) -> AsyncIterator[Running]:
    made = Router(
        Options(
            config_dir=config,
            state_dir=config.parent / "state",
            host="127.0.0.1",
            port=0,
            access_log=False,
            drain_seconds=5.0,
            tls=("127.0.0.1", tls_port) if tls_port else None,
        ),
        {},
    )
    await made.start()
    running = Running(made)
    try:
        yield running
    finally:
        running.close()
        await made.stop()


class Pool:
    """Some members and one router that asks them."""

    def __init__(
        self, tmp_path: Path, authority: Path, *slots: int, station: str = "", own: int = 0, rule: str = ""
    ) -> None:
        self._directory, self._authority = tmp_path, authority
        self._station, self._own, self._rule = station, own, rule
        self.members = [Member(f"m{number}", free_port(), each) for number, each in enumerate(slots)]
        self.engines = [Engine(name=member.name) for member in self.members]
        self.own_engine = Engine(name="own")
        self.there: list[Running] = []
        self.here: Running
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Pool:
        enter = self._stack.enter_async_context
        for member, engine in zip(self.members, self.engines, strict=True):
            await enter(engine)
            config = self._directory / member.name / "config"
            lending(config, self._authority, member, engine.url, ["laptop", "other"], self._station)
            self.there.append(await enter(router(config, member.port)))
        config = self._directory / "laptop" / "config"
        await enter(self.own_engine)
        own = [model(self.own_engine.url, self._own, "small", 10.0)] if self._own else []
        asking(config, self._authority, "laptop", self.members, own, self._rule)
        self.here = await enter(router(config))
        for each in (*self.there, self.here):
            await each.seen()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()


async def held(place: Wire) -> str:
    """The slot that the beginning of an answer names."""
    return relay.read_held((await asyncio.wait_for(place.reader.readuntil(b"}"), 5)).partition(b"\r\n")[2])


def said(answered: Answered) -> str:
    return str(answered.json["choices"][0]["message"]["content"])


LAPTOP, OTHER = relay_key("laptop"), relay_key("other")


class TestAtAMember:
    def test_a_slot_is_held_for_whoever_asked_and_used_by_the_request_that_names_it(
        self, tmp_path: Path, authority: Path
    ) -> None:
        async def work() -> tuple[int, str, int]:
            async with Pool(tmp_path, authority, 1) as pool:
                there = pool.there[0]
                place = await there.slot(LAPTOP)
                status, _ = await place.head()
                slot = await held(place)
                refused = await there.ask("x 0", key=OTHER, headers={relay.HEADER: relay.NOW})
                answered = await there.ask("x 0", key=LAPTOP, headers={relay.HEADER: slot})
                # The answer about the slot ends with it.
                await asyncio.wait_for(place.reader.readuntil(b"0\r\n\r\n"), 5)
                await there.until(0)
                return status, refused.error["code"], answered.status

        assert run(work) == (200, "busy", 200)

    def test_nobody_else_can_use_it(self, tmp_path: Path, authority: Path) -> None:
        async def work() -> tuple[str, int]:
            async with Pool(tmp_path, authority, 1) as pool:
                there = pool.there[0]
                place = await there.slot(LAPTOP)
                await place.head()
                refused = await there.ask("x 0", key=OTHER, headers={relay.HEADER: await held(place)})
                return refused.error["code"], there.taken()

        assert run(work) == ("busy", 1)

    def test_one_that_leaves_gives_its_slot_back(self, tmp_path: Path, authority: Path) -> None:
        async def work() -> int:
            async with Pool(tmp_path, authority, 1) as pool:
                there = pool.there[0]
                place = await there.slot(LAPTOP)
                await place.head()
                await there.until(1)
                place.close()
                await there.until(0)
                return (await there.ask("x 0", key=OTHER)).status

        assert run(work) == 200

    def test_a_slot_that_nobody_comes_for_is_given_back(
        self, tmp_path: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(relay, "HELD_SECONDS", 0.1)

        async def work() -> None:
            async with Pool(tmp_path, authority, 1) as pool:
                await (await pool.there[0].slot(LAPTOP)).head()
                await pool.there[0].until(0)

        run(work)

    def test_those_in_line_are_served_in_order_of_arrival(self, tmp_path: Path, authority: Path) -> None:
        async def work() -> tuple[bool, bool]:
            async with Pool(tmp_path, authority, 1) as pool:
                there = pool.there[0]
                first = await there.send("first 0.3")
                await there.until(1)
                places = [await there.slot(key, wait=5) for key in (LAPTOP, OTHER)]
                await first.answered()
                await asyncio.wait_for(places[0].head(), 5)
                later = asyncio.ensure_future(places[1].head())
                await asyncio.sleep(0.05)
                waits = not later.done()
                places[0].close()
                status, _ = await asyncio.wait_for(later, 5)
                return waits, status == 200

        assert run(work) == (True, True)

    @pytest.mark.parametrize(
        ("key", "body", "wanted"),
        [
            (KEY, {}, (403, "not_a_relay")),
            (LAPTOP, {"model": 7}, (400, "invalid_body")),
            (LAPTOP, {"model": "none such"}, (404, "model_not_found")),
        ],
        ids=["a person's key", "a body that asks for nothing", "a model that is not there"],
    )
    def test_who_may_not_have_one_is_told_why(
        self, tmp_path: Path, authority: Path, key: str, body: dict[str, Any], wanted: tuple[int, str]
    ) -> None:
        async def work() -> tuple[int, str]:
            async with Pool(tmp_path, authority, 1) as pool:
                answered = await (await pool.there[0].slot(key, **body)).answered()
                return answered.status, answered.error["code"]

        assert run(work) == wanted

    def test_a_station_lends_as_much_as_it_says_and_its_own_people_have_the_rest(
        self, tmp_path: Path, authority: Path
    ) -> None:
        async def work() -> tuple[list[str], int, int]:
            async with Pool(tmp_path, authority, 3, station=", max_relayed: 1") as pool:
                there = pool.there[0]
                now = {relay.HEADER: relay.NOW}
                first = await there.send("a 2", key=LAPTOP, headers=now)
                await there.until(1)
                refused = [(await there.ask("b 0", key=OTHER, headers=now)).error["code"]]
                refused.append((await (await there.slot(OTHER)).answered()).error["code"])
                own = await there.ask("c 0")
                offer = there.router.state.offer(there.router.settings.current.targets.by_id[f"station/{MODEL}"])
                first.close()
                return refused, own.status, offer.free

        assert run(work) == (["busy", "busy"], 200, 0)

    def test_one_that_goes_down_sends_those_in_line_away(self, tmp_path: Path, authority: Path) -> None:
        async def work() -> tuple[int, str]:
            async with Pool(tmp_path, authority, 1) as pool:
                there = pool.there[0]
                first = await there.send("first 1")
                await there.until(1)
                place = await there.slot(LAPTOP, wait=60)
                await asyncio.sleep(0.05)
                stopping = asyncio.ensure_future(there.router.stop())
                answered = await asyncio.wait_for(place.answered(), 5)
                assert (await first.answered()).status == 200
                await stopping
                return answered.status, answered.error["code"]

        assert run(work) == (503, "going_down")


class TestFromAnAskingRouter:
    def test_a_request_that_finds_its_member_full_goes_to_the_first_that_has_a_slot(
        self, tmp_path: Path, authority: Path
    ) -> None:
        async def work() -> tuple[str, str]:
            async with Pool(tmp_path, authority, 1, 1) as pool:
                # The asking router cannot know of these.
                long = await pool.there[0].send("long 30")
                short = await pool.there[1].send("short 0.4")
                for there in pool.there:
                    await there.until(1)
                answered = await pool.here.ask("asked 0")
                assert answered.status == 200, answered.body
                assert (await short.answered()).status == 200
                long.close()
                return said(answered), answered.headers["x-gridtie-attempts"]

        assert run(work) == ("m1", "1")

    def test_many_at_once_fill_the_slots_of_all_and_no_more(self, tmp_path: Path, authority: Path) -> None:
        async def work() -> tuple[Counter[str], list[int], set[int]]:
            async with Pool(tmp_path, authority, 1, 2, 3) as pool:
                for engine in pool.engines:
                    engine.speed = 0.001
                asking = [asyncio.ensure_future(pool.here.ask(f"{number} 1")) for number in range(24)]
                async with asyncio.timeout(20):
                    while [engine.at_once for engine in pool.engines] != [1, 2, 3]:
                        await asyncio.sleep(0.01)
                for engine in pool.engines:
                    engine.speed = 1000.0
                found = await asyncio.gather(*asking)
                most = [engine.most for engine in pool.engines]
                return Counter(map(said, found)), most, {each.status for each in found}

        answered, most, statuses = run(work, 30.0)

        assert statuses == {200}
        assert most == [1, 2, 3]
        assert set(answered) == {"m0", "m1", "m2"}

    def test_the_own_engine_takes_over_where_it_is_free_and_the_pool_is_not(
        self, tmp_path: Path, authority: Path
    ) -> None:
        async def work() -> str:
            async with Pool(tmp_path, authority, 1, 1, own=1) as pool:
                wires = [await there.send("long 30") for there in pool.there]
                for there in pool.there:
                    await there.until(1)
                answered = await pool.here.ask("asked 0")
                for wire in wires:
                    wire.close()
                return said(answered)

        assert run(work) == "own"

    def test_who_waits_longer_than_the_rule_allows_is_told_that_all_are_busy(
        self, tmp_path: Path, authority: Path
    ) -> None:
        async def work() -> tuple[int, str]:
            async with Pool(tmp_path, authority, 1, rule=", max_wait: 0.2") as pool:
                long = await pool.there[0].send("long 30")
                await pool.there[0].until(1)
                answered = await pool.here.ask("asked 0")
                long.close()
                return answered.status, answered.error["code"]

        assert run(work) == (503, "busy")

    def test_a_client_that_leaves_leaves_every_line(self, tmp_path: Path, authority: Path) -> None:
        async def work() -> list[int]:
            async with Pool(tmp_path, authority, 1, 1) as pool:
                wires = [await there.send("long 0.6") for there in pool.there]
                for there in pool.there:
                    await there.until(1)
                asked = await pool.here.send("asked 0")
                await asyncio.sleep(0.2)
                asked.close()
                for wire in wires:
                    await wire.answered()
                for there in pool.there:
                    await there.until(0)
                await pool.here.until(0)
                return [len(engine.began) for engine in pool.engines]

        assert run(work) == [1, 1]

    def test_a_member_that_dies_while_others_wait_there_costs_nobody_an_answer(
        self, tmp_path: Path, authority: Path
    ) -> None:
        async def work() -> set[int]:
            async with Pool(tmp_path, authority, 1, 1) as pool:
                asked = [asyncio.ensure_future(pool.here.ask(f"{number} 0.3")) for number in range(6)]
                await asyncio.sleep(0.15)
                dead = pool.there[0].router
                for server in dead._servers:
                    server.close()
                for connection in tuple(dead.app.connections):
                    connection.abandon()
                return {each.status for each in await asyncio.gather(*asked)}

        assert run(work, 30.0) == {200}

    def test_a_router_of_before_lets_the_request_wait_there(self, tmp_path: Path, authority: Path) -> None:
        async def work() -> str:
            async with Pool(tmp_path, authority, 1) as pool:
                there = pool.there[0]
                # It has no such path, and does not know the header.
                there.router.app._routes._exact.pop(relay.PATH)
                there.router.dispatcher._slots.take = lambda slot, owner: None  # type: ignore[method-assign]
                first = await there.send("first 0.3")
                await there.until(1)
                answered = await pool.here.ask("asked 0")
                await first.answered()
                return said(answered)

        assert run(work) == "m0"
