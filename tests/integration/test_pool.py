"""A pool of real router processes: a member that drains, is killed, comes back, is slow, and what clients see of it."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest

from standins.authority import make_authority
from standins.pool import MODEL, Engine, Member, asking, lending
from standins.process import PATIENCE_S, Process, free_port
from standins.router import Answered, chat, request, run

SLOTS = 2
NAMES = ("one", "two")
# Of a test, in which three processes start.
LIMIT_S = 240.0


class Pool:
    """Two members, and the router that asks them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.engines = {name: Engine(name=name) for name in NAMES}
        self._members = {name: Member(name, free_port(), SLOTS) for name in NAMES}
        self.processes: dict[str, Process] = {}
        self.here: Process

    async def start(self, stack: AsyncExitStack) -> None:
        authority = self._directory / "authority"
        make_authority(authority)
        for name, member in self._members.items():
            engine = await stack.enter_async_context(self.engines[name])
            process = Process(self._directory / name, "", GRIDTIE_TLS_LISTEN=f"127.0.0.1:{member.port}")
            lending(process.config, authority, member, engine.url, ["laptop"])
            self.processes[name] = process
        self.here = self.processes["here"] = Process(self._directory / "here", "")
        asking(self.here.config, authority, "laptop", list(self._members.values()))
        for process in self.processes.values():
            stack.push_async_callback(_ended, process)
            await process.start()
        for process in self.processes.values():
            await process.listening()
        await self.seen(*NAMES)

    async def seen(self, *names: str) -> None:
        """Until these members, and no others, are there in the eyes of the router that asks."""
        wanted = {f"pool.{name}/{MODEL}" for name in names}
        async with asyncio.timeout(PATIENCE_S):
            while wanted != await self._planned():
                await asyncio.sleep(0.1)

    async def _planned(self) -> set[str]:
        wire = await self.here.connect()
        await wire.send(request({"model": "coder"}, path="/gridtie/route", port=self.here.port))
        return {attempt["target"] for attempt in (await wire.answered()).json["attempts"]}

    async def ask(self, text: str) -> Answered:
        wire = await self.here.connect()
        await wire.send(request(chat(text), port=self.here.port))
        return await wire.answered()

    async def ask_many(self, count: int, seconds: float) -> list[Answered]:
        return list(await asyncio.gather(*(self.ask(f"{number} {seconds}") for number in range(count))))

    async def busy(self, *names: str) -> None:
        """Until all slots of these are taken."""
        async with asyncio.timeout(PATIENCE_S):
            while any(self.engines[name].at_once < SLOTS for name in names):
                await asyncio.sleep(0.02)


async def _ended(process: Process) -> None:
    process.disconnect()
    if process.child.returncode is None:
        process.child.kill()
        await process.ended()


@asynccontextmanager
async def pool(directory: Path) -> AsyncIterator[Pool]:
    async with AsyncExitStack() as stack:
        made = Pool(directory)
        await made.start(stack)
        yield made


def members(answers: list[Answered]) -> Counter[str]:
    return Counter(answered.json["choices"][0]["message"]["content"] for answered in answers)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["drains", "is killed"])
def test_a_member_that_goes_and_comes_back_costs_nobody_an_answer(tmp_path: Path, how: signal.Signals) -> None:
    async def work() -> tuple[set[int], set[str], set[str], list[int]]:
        async with pool(tmp_path) as made:
            gone = made.processes["one"]
            under_way = asyncio.ensure_future(made.ask_many(12, 0.5))
            await made.busy("one", "two")
            gone.child.send_signal(how)
            answers = await under_way
            await gone.ended()
            await made.seen("two")
            without = await made.ask_many(4, 0.0)
            await gone.start()
            await gone.listening()
            await made.seen("one", "two")
            again = await made.ask_many(12, 0.2)
            statuses = {answered.status for answered in (*answers, *without, *again)}
            return statuses, set(members(without)), set(members(again)), [each.most for each in made.engines.values()]

    statuses, without, again, most = run(work, LIMIT_S)

    assert statuses == {200}
    assert without == {"two"}
    assert again == {"one", "two"}
    assert most == [SLOTS, SLOTS]


def test_a_member_that_is_slow_gets_no_more_than_it_must(tmp_path: Path) -> None:
    async def work() -> Counter[str]:
        async with pool(tmp_path) as made:
            made.engines["one"].speed = 0.05
            # By these it becomes known.
            await made.ask_many(6, 0.1)
            return members([await made.ask(f"later-{number} 0.1") for number in range(6)])

    assert run(work, LIMIT_S) == Counter(two=6)


def test_a_request_that_finds_all_full_waits_for_the_first_that_is_free(tmp_path: Path) -> None:
    async def work() -> tuple[str, bool]:
        async with pool(tmp_path) as made:
            made.engines["one"].speed = 0.02
            held = [asyncio.ensure_future(made.ask(f"held-{number} 1")) for number in range(2 * SLOTS)]
            await made.busy("one", "two")
            began = monotonic()
            answered = await made.ask("waits 0")
            before = monotonic() - began
            made.engines["one"].speed = 1000.0
            await asyncio.gather(*held)
            # Those at the slow member would have had 50 s left.
            return answered.json["choices"][0]["message"]["content"], before < 45

    assert run(work, LIMIT_S) == ("two", True)
