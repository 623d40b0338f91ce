"""Several servers behind the real vllm-router: who is asked, one that is drained, one that dies, a rolling upgrade."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from scale import conftest as real
from scale.balanced import Balanced, balanced
from scale.conftest import PARALLEL, Vllm
from standins.authority import make_authority
from standins.behaviour import Behaviour
from standins.cloud import Cloud
from standins.router import Station, chat, run


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("authority")
    make_authority(directory)
    return directory


@dataclass
class Asked:
    """One request of the load: when it was begun, and what came."""

    begun: float
    status: int
    # Answered to its end.
    whole: bool
    said: str


@asynccontextmanager
async def load(front: Station, at_once: int) -> AsyncIterator[list[Asked]]:
    """Streams, so many at once, until the end; then each is waited for."""
    done: list[Asked] = []
    ending = asyncio.Event()

    async def client(number: int) -> None:
        turn = 0
        while not ending.is_set():
            turn += 1
            begun = time.monotonic()
            text = f"Client {number}, question {turn}: say something of the sea."
            answered = await front.ask(chat(text, stream=True, max_tokens=12, temperature=0))
            events = answered.events
            ended = answered.whole and events[-1:] == ["[DONE]"] and not any('"error"' in each for each in events)
            done.append(Asked(begun, answered.status, answered.status == 200 and ended, answered.body.decode()[-500:]))
            await asyncio.sleep(0.05)

    clients = [asyncio.create_task(client(number)) for number in range(at_once)]
    yield done
    ending.set()
    await asyncio.gather(*clients)


# -- with engines that only play their part ----------------------------------------------------------------------------


async def slots_are(house: Balanced, wanted: int) -> None:
    """Once the front has looked, as it does every two seconds."""
    async with asyncio.timeout(20):
        while await house.slots() != wanted:
            await asyncio.sleep(0.2)


@asynccontextmanager
async def played(directory: Path, authority: Path, balancer: Path) -> AsyncIterator[tuple[Balanced, list[Cloud]]]:
    async with Cloud() as first, Cloud() as second:
        engines = [each.base_url("vllm", "127.0.0.1").removesuffix("/v1") for each in (first, second)]
        async with balanced(directory, authority, balancer, engines) as house:
            yield house, [first, second]


def test_a_station_that_is_drained_is_not_asked_and_comes_back(tmp_path: Path, authority: Path, balancer: Path) -> None:
    async def work() -> None:
        async with played(tmp_path, authority, balancer) as (house, engines):
            await house.servers[0].provision(draining=True)
            # Before vllm-router has looked, as well.
            first = await house.front.ask(chat("a"))
            await house.until_asked(house.servers[1])
            others = [await house.front.ask(chat(text)) for text in "bcdef"]
            assert {each.status for each in (first, *others)} == {200}
            assert engines[0].requests == []
            # What is more than the other one takes waits in the front's own line.
            await slots_are(house, 4)

            await house.servers[0].provision()
            await house.until_asked(*house.servers)
            await slots_are(house, 8)

    run(work, seconds=110)


def test_prompts_that_begin_alike_go_to_the_server_that_has_read_the_beginning(
    tmp_path: Path, authority: Path, balancer: Path
) -> None:
    """Spread at first, since they come at once; then each stays, though the other server is as idle."""

    async def work() -> list[tuple[set[int], set[int]]]:
        async with played(tmp_path, authority, balancer) as (house, engines):
            for engine in engines:
                engine.be("small", Behaviour(delay=2.0))
            await asyncio.gather(*(house.front.ask(chat(f"{subject} " * 40)) for subject in SUBJECTS))
            first = [places(engines, subject) for subject in SUBJECTS]
            for engine in engines:
                engine.reset()
            for turn in range(3):
                for subject in SUBJECTS:
                    assert (await house.front.ask(chat(f"{subject} " * 40 + f"And {turn}?"))).status == 200
            return list(zip(first, [places(engines, subject) for subject in SUBJECTS], strict=True))

    found = run(work, seconds=110)

    assert all(before == after and len(before) == 1 for before, after in found), found
    assert {place for before, _ in found for place in before} == {0, 1}, found


def places(engines: Sequence[Cloud], subject: str) -> set[int]:
    """Which of them were asked about it."""
    return {
        place
        for place, engine in enumerate(engines)
        if any(subject in str(request.body["messages"]) for request in engine.requests)
    }


def test_what_its_own_parser_changes_of_a_request_is_known(tmp_path: Path, authority: Path, balancer: Path) -> None:
    """It writes each request anew: with defaults of its own, without `strict` of a tool, what it does not know kept."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
    body = chat(
        "hi",
        tools=[tool],
        tool_choice="none",
        temperature=0.25,
        seed=7,
        chat_template_kwargs={"enable_thinking": False},
    )

    async def work() -> dict[str, Any]:
        async with played(tmp_path, authority, balancer) as (house, engines):
            assert (await house.front.ask(body)).status == 200
            (request,) = [request for engine in engines for request in engine.requests]
            return dict(request.body)

    sent = run(work, seconds=110)

    assert (sent["temperature"], sent["seed"]) == (0.25, 7)
    assert sent["chat_template_kwargs"] == {"enable_thinking": False}
    assert sent["tools"][0]["function"] == {"name": "f", "parameters": {"type": "object"}}
    assert sent["no_stop_trim"] is False


def test_a_refusal_of_a_server_reaches_the_client_as_it_is(tmp_path: Path, authority: Path, balancer: Path) -> None:
    async def work() -> tuple[int, str, int]:
        async with played(tmp_path, authority, balancer) as (house, engines):
            refused = await house.front.ask(chat("hi", response_format={"type": "nonsense"}))
            return refused.status, refused.body.decode(), sum(len(engine.requests) for engine in engines)

    status, _, asked = run(work, seconds=110)

    assert 400 <= status < 500
    assert asked <= 1


# -- with real vLLM ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def servers(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Vllm]]:
    """Two that run; a test may put another in the place of one."""
    with ThreadPoolExecutor(2) as starting:
        places = [tmp_path_factory.mktemp("vllm") for _ in range(2)]
        begun = [starting.submit(real.start, python, place) for place in places]
    found = [each.result() for each in begun if each.exception() is None]
    try:
        for each in begun:
            each.result()
        yield found
    finally:
        for server in found:
            real.stop(server)


def answered_by(servers: Sequence[Vllm]) -> list[int]:
    """How many requests each has answered, by its own metrics."""
    counts = []
    for server in servers:
        lines = httpx.get(f"{server.url}/metrics", trust_env=False).text.splitlines()
        found = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("vllm:request_success_total")]
        counts.append(round(sum(found)))
    return counts


def test_a_conversation_stays_with_the_server_that_has_read_it(
    servers: list[Vllm], tmp_path: Path, authority: Path, balancer: Path
) -> None:
    """Six conversations of three turns. They begin at once, since of idle servers always the same is asked; then one
    after the other in turn, and each finds two blocks of 128 tokens that were read before.
    """
    told = {number: [_user(f"{SUBJECTS[number]} " * 60)] for number in range(6)}

    async def say(house: Balanced, messages: list[dict[str, str]]) -> dict[str, Any]:
        body = {"model": "coder", "messages": messages, "max_tokens": 8, "temperature": 0}
        answered = await house.front.ask(body)
        assert answered.status == 200, answered.body
        messages.append({"role": "assistant", "content": answered.json["choices"][0]["message"]["content"]})
        return dict(await house.front.entry(answered))

    async def work() -> dict[int, list[int]]:
        places: dict[int, list[int]] = {}
        async with balanced(tmp_path, authority, balancer, [each.url for each in servers], PARALLEL) as house:
            await asyncio.gather(*(say(house, messages) for messages in told.values()))
            for turn in range(1, 3):
                for number, messages in told.items():
                    messages.append(_user(f"And what of number {turn}?"))
                    before = answered_by(servers)
                    row = await say(house, messages)
                    after = answered_by(servers)
                    place = next(place for place in range(2) if after[place] > before[place])
                    places.setdefault(number, []).append(place)
                    assert row.get("cached_tokens", 0) >= 128, (number, turn, row)
        return places

    places = run(work, seconds=900)

    assert all(len(set(each)) == 1 for each in places.values()), places
    assert {each[0] for each in places.values()} == {0, 1}, places


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


SUBJECTS = (
    "The lighthouse keeper counts ships from the north.",
    "Seven apples lie on a table in the kitchen.",
    "A train leaves the valley before the sun is up.",
    "Old maps show rivers that nobody has seen.",
    "My neighbour repairs clocks and violins by night.",
    "Under the bridge a fox waits for the rain to end.",
)


def test_a_rolling_upgrade_under_load_loses_no_request(
    python: Path, servers: list[Vllm], tmp_path: Path, authority: Path, balancer: Path
) -> None:
    """Each server is drained, replaced and let in again, one after the other, as upgrade.yml does it."""

    async def work() -> tuple[list[Asked], list[int]]:
        during = []
        async with balanced(tmp_path, authority, balancer, [each.url for each in servers], PARALLEL) as house:
            async with load(house.front, 3) as done:
                for place, server in enumerate(house.servers):
                    await server.provision(draining=True)
                    await server.idle()
                    await asyncio.to_thread(real.stop, servers[place])
                    directory = tmp_path / f"again-{place}"
                    directory.mkdir()
                    begun = len(done)
                    servers[place] = await asyncio.to_thread(real.start, python, directory)
                    during.append(len(done) - begun)
                    await server.provision(servers[place].url)
                    await house.until_asked(*house.servers)
            return done, during

    done, during = run(work, seconds=1700)

    lost = [each for each in done if not each.whole]
    report("rolling upgrade", sent=len(done), answered=len(done) - len(lost), lost=len(lost), while_one_was_away=during)
    assert min(during) > 0
    assert lost == []


def test_a_server_that_dies_costs_what_it_was_answering_and_nothing_else(
    servers: list[Vllm], tmp_path: Path, authority: Path, balancer: Path
) -> None:
    async def work() -> tuple[list[Asked], float]:
        async with (
            balanced(tmp_path, authority, balancer, [each.url for each in servers], PARALLEL) as house,
            load(house.front, 3) as done,
        ):
            await until(lambda: len(done) >= 6)
            real.kill(servers[0])
            killed = time.monotonic()
            await until(lambda: sum(each.begun > killed for each in done) >= 12)
        return done, killed

    done, killed = run(work, seconds=900)

    after = [each for each in done if each.begun > killed]
    lost = [each for each in done if not each.whole]
    report("a server dies", sent=len(done), begun_after=len(after), lost=len(lost))
    assert [each for each in after if not each.whole] == []
    # What was being answered ends with an error that says so, and there were three at most.
    assert len(lost) <= 3
    assert all('"error"' in each.said for each in lost)


async def until(true: Callable[[], bool], seconds: float = 300.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.05)


def report(what: str, **counts: Any) -> None:
    """What a run came to, for whoever looks at its output (`-s`)."""
    print(f"\n{what}: {json.dumps(counts)}")
