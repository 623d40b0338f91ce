"""What is so now, once a second for all who watch, within bounds, and nothing while nobody does."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from gridtie.gateway.dashboard import live, machine, moment
from standins.router import KEY, OTHER_KEY, Station, Wire, chat, request, routing, run
from standins.scripted import Upstream, event, silence, whole
from standins.signed_in import Browser, signed_in


async def watch(browser: Browser) -> tuple[int, Wire]:
    """A stream of what is so now, and its status."""
    wire = await browser.station.connect()
    await wire.send(request(path="/dashboard/live", key=None, headers=browser.headers, port=browser.station.port))
    status, _ = await wire.head()
    return status, wire


async def told(wire: Wire) -> Any:
    """The next event's data."""
    async with asyncio.timeout(5):
        size = int(await wire.reader.readuntil(b"\r\n"), 16)
        return json.loads((await wire.reader.readexactly(size + 2))[:-2].decode().strip().removeprefix("data: "))


def test_a_viewer_is_told_at_once_and_then_once_a_second(tmp_path: Path) -> None:
    async def work() -> list[float]:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            status, wire = await watch(await signed_in(station))
            assert status == 200
            return [(await told(wire))["time"] for _ in range(3)]

    first, second, third = run(work)
    assert 0 < second - first < 2
    assert 0.8 < third - second < 2


def test_a_key_sees_its_own_requests_and_an_admin_all_and_the_reasons_too(tmp_path: Path) -> None:
    async def work() -> list[Any]:
        async with (
            Upstream(silence(event(role=True), event("word"))) as here,
            Station(tmp_path, routing(here.url, use="[local]")) as station,
        ):
            for number, key in enumerate((KEY, OTHER_KEY), 1):
                wire = await station.connect()
                await wire.send(request(chat("a secret", stream=True), key=key, port=station.port))
                await here.turn(number)
                await wire.head()
            return [await told((await watch(await signed_in(station, key)))[1]) for key in (KEY, OTHER_KEY)]

    admin, dev = run(work)
    assert [each["key"] for each in admin["requests"]] == ["station", "dev"]
    assert [each["key"] for each in dev["requests"]] == ["dev"]
    assert dev["under_way"] == 1
    (row,) = dev["requests"]
    assert (row["phase"], row["target"], row["asked"], row["rule"]) == ("answering", "here/small", "coder", "all")
    assert row["tokens"] >= 1
    assert "connections" in admin["router"]
    assert "connections" not in dev["router"]
    # Counts and names alone.
    assert "a secret" not in json.dumps(admin)


def test_budgets_are_an_admins_and_a_keys_own_limit_is_its_holders(tmp_path: Path) -> None:
    rules = routing("http://127.0.0.1:1/v1", use="[local]") + "budgets: [{name: team, usd: 5, period: day}]\n"

    async def work() -> list[Any]:
        async with Station(tmp_path, rules) as station:
            path = station.config / "keys.json"
            document = json.loads(path.read_text())
            document["keys"][1]["limits"] = {"usd_per_day": 1.0}
            path.write_text(json.dumps(document))
            await station.router.settings.reload()
            return [
                (await told((await watch(await signed_in(station, key)))[1]))["budgets"] for key in (KEY, OTHER_KEY)
            ]

    admin, dev = run(work)
    assert [each["name"] for each in admin] == ["team", "dev/day"]
    assert [(each["name"], each["left"], each["lasts_until"]) for each in dev] == [("dev/day", 1.0, None)]


def test_nothing_is_worked_out_while_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL_SECONDS", 0.05)

    async def work() -> tuple[int, int, int]:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            moment, watchers = station.router.dashboard._moment, station.router.dashboard._live
            looked = 0
            refresh = moment.refresh

            def counted() -> None:
                nonlocal looked
                looked += 1
                refresh()

            moment.refresh = counted  # type: ignore[method-assign]
            await asyncio.sleep(0.3)
            before = looked
            _, wire = await watch(await signed_in(station))
            await told(wire)
            wire.close()
            while len(watchers):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            after = looked
            await asyncio.sleep(0.3)
            return before, after, looked

    before, after, later = run(work)
    assert before == 0
    assert after >= 1
    assert later == after


def test_nothing_of_a_request_is_kept_once_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request may be large, and what clients make the router hold is counted while it runs alone."""
    monkeypatch.setattr(live, "INTERVAL_SECONDS", 0.05)

    async def work() -> tuple[int, bool]:
        async with Upstream(silence()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            asking = await station.connect()
            await asking.send(request(chat(), port=station.port))
            await here.turn()
            _, wire = await watch(await signed_in(station))
            await told(wire)
            (kept,) = (weakref.ref(each) for each in station.router.dashboard._moment._requests)
            wire.close()
            asking.close()
            async with asyncio.timeout(5):
                while kept() is not None:
                    gc.collect()
                    await asyncio.sleep(0.02)
            return len(station.router.dashboard._live), kept() is None

    assert run(work) == (0, True)


def test_a_sensor_that_never_answers_holds_one_thread_however_long_somebody_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads are few, and admins' questions are answered in the same ones; once it answers it is looked at again."""
    monkeypatch.setattr(live, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(moment, "_MACHINE_SECONDS", 0.0)
    looks, go = 0, threading.Event()

    def look(readings: Any) -> dict[str, Any]:
        nonlocal looks
        looks += 1
        go.wait(10)
        return {"memory_bytes": 1}

    monkeypatch.setattr(machine, "look", look)

    async def work() -> tuple[int, int]:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            _, wire = await watch(await signed_in(station))
            try:
                for _ in range(10):
                    await told(wire)
                hanging = looks
            finally:
                go.set()
            while not (await told(wire))["machine"] or looks < 2:
                pass
            return hanging, looks

    hanging, later = run(work)
    assert hanging == 1
    assert later >= 2


def test_all_who_see_the_same_are_told_the_same_bytes(tmp_path: Path) -> None:
    async def work() -> tuple[int, list[Any]]:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            moment = station.router.dashboard._moment
            made = 0
            tell = moment._tell

            def counted(viewer: Any) -> Any:
                nonlocal made
                made += 1
                return tell(viewer)

            moment._tell = counted  # type: ignore[method-assign]
            browser = await signed_in(station)
            wires = [(await watch(browser))[1] for _ in range(10)]
            firsts = [await told(wire) for wire in wires]
            return made, firsts

    made, firsts = run(work)
    assert made <= 2
    assert len(firsts) == 10


def test_beyond_the_bound_a_viewer_is_told_so_and_one_key_cannot_take_all_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_VIEWERS", 5)
    monkeypatch.setattr(live, "MOST_OF_A_KEY", 3)

    async def work() -> list[int]:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            admin, dev = await signed_in(station), await signed_in(station, OTHER_KEY)
            statuses = [(await watch(browser))[0] for browser in (admin, admin, admin, admin, dev, dev, dev)]
            refused = await admin.get("live")
            assert refused.error["code"] == "too_many_viewers"
            assert refused.headers["retry-after"]
            return statuses

    assert run(work) == [200, 200, 200, 503, 200, 200, 503]


def test_a_thousand_who_want_to_look_are_told_so_and_models_answer_as_before(tmp_path: Path) -> None:
    async def work() -> tuple[list[int], list[int], int]:
        async with (
            Upstream(whole()) as here,
            Station(tmp_path, routing(here.url, use="[local]")) as station,
        ):
            browsers = [await signed_in(station, key) for key in (KEY, OTHER_KEY)]
            statuses, answers = [], []
            for number in range(1000):
                status, wire = await watch(browsers[number % 2])
                statuses.append(status)
                if status == 503:
                    wire.close()
                if number % 100 == 99:
                    answers.append((await station.ask(chat())).status)
            return statuses, answers, len(station.router.dashboard._live)

    statuses, answers, watching = run(work, 60)
    assert watching == statuses.count(200) == 2 * live.MOST_OF_A_KEY <= live.MOST_VIEWERS
    assert statuses.count(503) == 1000 - watching
    assert answers == [200] * 10


def test_who_goes_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_VIEWERS", 1)

    async def work() -> list[int]:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            browser = await signed_in(station)
            statuses = []
            for _ in range(3):
                status, wire = await watch(browser)
                statuses.append(status)
                wire.close()
                while len(station.router.dashboard._live):
                    await asyncio.sleep(0.01)
            return statuses

    assert run(work) == [200, 200, 200]


def test_a_viewer_that_does_not_read_is_sent_no_more_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "INTERVAL_SECONDS", 0.002)

    async def work() -> tuple[int, int]:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            browser = await signed_in(station)
            # What is told is large, so that buffers fill up soon.
            moment = station.router.dashboard._moment
            moment.told = lambda viewer: b'"%b"' % (b"x" * 60_000)  # type: ignore[method-assign]
            _, deaf = await watch(browser)
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
            (watcher,) = station.router.dashboard._live._watchers
            async with asyncio.timeout(15):
                while not watcher.paused:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            held = station.router.held.total
            await asyncio.sleep(0.2)
            _, other = await watch(browser)
            assert await told(other)
            return held, station.router.held.total

    before, after = run(work)
    assert after <= before + 200_000


def test_whoever_signs_out_is_told_and_the_stream_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL_SECONDS", 0.05)

    async def work() -> tuple[bytes, bool]:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            browser = await signed_in(station)
            _, wire = await watch(browser)
            await browser.send("DELETE", "session", {})
            return await wire._chunks()

    data, whole = run(work)
    assert data.endswith(b"event: signed-out\ndata: {}\n\n")
    assert whole


def test_a_stream_ends_before_the_router_takes_it_for_one_that_hangs(tmp_path: Path) -> None:
    rules = routing("http://127.0.0.1:1/v1", use="[local]", timeouts="{total: 1, first_token: 1, connect: 1}")

    async def work() -> tuple[bytes, bool]:
        async with Station(tmp_path, rules) as station:
            _, wire = await watch(await signed_in(station))
            return await wire._chunks()

    data, whole = run(work)
    assert data.startswith(b"data: {")
    assert whole


def test_viewers_do_not_hold_up_a_router_that_goes_down(tmp_path: Path) -> None:
    async def work() -> float:
        loop = asyncio.get_running_loop()
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]"), drain_seconds=20.0) as station:
            browser = await signed_in(station)
            for _ in range(3):
                await watch(browser)
            begun = loop.time()
            await station.router.stop()
            return loop.time() - begun

    assert run(work) < 5
