"""A request in flight is ended by its owner or an admin, and metered as one whose client left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from standins.router import KEY, OTHER_KEY, Answered, Station, chat, request, routing, run
from standins.scripted import Upstream, event, silence
from standins.signed_in import signed_in

BEGUN = (event(role=True), event("word"))


async def end(station: Station, upstream: Upstream, by: str, of: str, stream: bool) -> tuple[Answered, Answered, Any]:
    """The answer to who ends it, that of the request itself, and its row."""
    wire = await station.connect()
    await wire.send(request(chat(stream=stream), key=of, port=station.port))
    await upstream.turn()
    browser = await signed_in(station, by)
    under_way = station.router.dashboard._live._moment._under_way
    async with asyncio.timeout(5):
        while not (found := [each for each in under_way.requests() if each.outcome.planned is not None]):
            await asyncio.sleep(0.01)
        while stream and not found[0].outcome.committed:
            await asyncio.sleep(0.01)
    answered = await browser.send("POST", "cancel", {"id": found[0].info.id})
    if answered.status != 200:
        return answered, answered, {}
    ended = await wire.answered()
    (row,) = await station.rows(1)
    return answered, ended, row


@pytest.mark.parametrize("by", [KEY, OTHER_KEY], ids=["admin", "owner"])
def test_a_stream_ends_with_an_error_that_says_who_ended_it(tmp_path: Path, by: str) -> None:
    async def work() -> tuple[Answered, Answered, Any, bool]:
        async with Upstream(silence(*BEGUN)) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            found = await end(station, here, by, OTHER_KEY, True)
            # The engine is stopped, and its slot is free again.
            await asyncio.wait_for(here.turns[0].closed.wait(), 5)
            return *found, await station.settled()

    answered, ended, row, free = run(work)
    assert answered.status == 200
    assert ended.whole
    name = "station" if by == KEY else "dev"
    assert f'ended by \\"{name}\\" at the dashboard' in ended.events[-1]
    assert (row["status"], row["complete"], row["code"]) == (200, 0, "cancelled")
    assert free


def test_one_that_nothing_was_answered_of_gets_an_error_that_no_client_tries_again(tmp_path: Path) -> None:
    async def work() -> tuple[Answered, Answered, Any]:
        async with Upstream(silence()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            return await end(station, here, OTHER_KEY, OTHER_KEY, False)

    _, ended, row = run(work)
    assert ended.status == 499
    assert ended.headers["x-should-retry"] == "false"
    assert ended.error["code"] == "cancelled"
    assert row["status"] == 499


def test_a_cancelled_request_at_a_cloud_counts_as_spent(tmp_path: Path) -> None:
    """It may be billed: the budget keeps what was reserved for it."""
    money = "budgets: [{name: all, usd: 5, period: day}]\n"

    async def work() -> tuple[Any, float]:
        async with (
            Upstream(silence()) as cloud,
            Station(tmp_path, routing(cloud=cloud.url, use="[cloud]") + money) as station,
        ):
            _, _, row = await end(station, cloud, KEY, KEY, False)
            return row, station.router.state.budget_left("all")

    row, left = run(work)
    assert row["locality"] == "cloud"
    assert row["estimated"] == 1
    assert left < 5


def test_somebody_elses_request_does_not_exist_for_others(tmp_path: Path) -> None:
    async def work() -> Answered:
        async with Upstream(silence(*BEGUN)) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            return (await end(station, here, OTHER_KEY, KEY, True))[0]

    answered = run(work)
    assert (answered.status, answered.error["code"]) == (404, "not_found")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"id": 5}', b"nonsense"])
def test_a_body_without_an_id_is_the_clients_mistake(tmp_path: Path, body: bytes) -> None:
    async def work() -> int:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as station:
            return (await (await signed_in(station)).send("POST", "cancel", body)).status

    assert run(work) == 400
