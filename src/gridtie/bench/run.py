"""Measures: warms up, then goes through the blocks of the plan and writes down what each request came to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import Any

import msgspec

from gridtie.bench import meter, profiles
from gridtie.bench.asking import Answer, Failed, Way
from gridtie.bench.errors import BenchError
from gridtie.bench.ledger_row import facts_of, row_of, settled
from gridtie.bench.lines import Stopped
from gridtie.bench.meter import Meter
from gridtie.bench.plan import AGAIN, BESIDE, FIRST, ROUTER, Block, blocks
from gridtie.bench.profiles import Profile, Prompt
from gridtie.bench.purse import Purse
from gridtie.bench.results import Begin, Cold, Done, Request, Run, WarmUp, Writer
from gridtie.bench.target import Router
from gridtie.dialects.facts import Facts as RequestFacts
from gridtie.dialects.openai_chat.facts import read
from gridtie.host.router import Unreachable, send
from gridtie.ledger import Entry
from gridtie.providers.target import Target

# So many failures, one after another and none of them for being busy: the target is gone, and the rest would be, too.
GIVE_UP = 3
_SETTLE_S, _MOST_SETTLE_S = 0.2, 30.0
# Until a model that was told to has left the memory.
_UNLOAD_S = 30.0

Say = Callable[[str], None]


@dataclass
class Tools:
    """What a measurement works with."""

    router: Router
    ways: Mapping[str, Way]
    meter: Meter
    # The engine beside the router, where it can be asked.
    beside: Target | None = None
    purse: Purse | None = None
    # What a request may be billed at most; for clouds alone.
    most: Callable[[RequestFacts, int], float] | None = None


class Runner:
    """One run, or the rest of one."""

    def __init__(self, writer: Writer, tools: Tools, say: Say) -> None:
        self._writer = writer
        self._run: Run = writer.results.run
        self._tools = tools
        self._say = say
        self._rates: dict[str, float] = {}
        self._streak = 0
        # What the prompts of the block under way are drawn by.
        self._seed = ""
        run = self._run
        self._profiles = [each for each in run.profiles if each.name not in writer.results.left_out]
        self._blocks = blocks(self._profiles, run.concurrency, run.ways, run.requests, run.rounds)
        self._clock = Clock(self._blocks, set(writer.results.done))

    async def measure(self) -> None:
        """All that is left of it. Raises `BenchError` where it cannot go on; what was measured is written by then."""
        if not self._blocks:
            raise BenchError(f"none of the profiles can be asked of {self._run.target}")
        try:
            await self._rest([block for block in self._blocks if block.number not in self._writer.results.done])
        except BenchError as error:
            self._writer.add(Stopped(why=str(error)))
            raise

    async def _rest(self, left: Sequence[Block]) -> None:
        if left or len(self._writer.results.cold) < self._run.cold:
            await self._warm_up()
            await self._cold()
        for block in left:
            await self._block(block)

    # -- before ------------------------------------------------------------------------------------------------------

    async def _warm_up(self) -> None:
        """Load the model, and see how many tokens a word it needs. A resumed run warms up once more."""
        known = {each.profile: each.tokens_per_word for each in self._writer.results.warm_ups}
        for place, profile in enumerate(self._profiles):
            if place and profile.name in known:
                self._rates[profile.name] = known[profile.name]
                continue
            self._say(f"{profile.name}: warming up")
            for way in self._run.ways:
                asked = profiles.prompt(profile, f"{self._run.seed} warm {way}", self._rate(profile), "warm-up")
                answer = await self._must_answer(way, profile, asked)
                if not answer.estimated:
                    self._rates[profile.name] = profiles.measured_rate(asked, answer.tokens_in)
                self._writer.add(
                    WarmUp(profile=profile.name, way=way, tokens_per_word=self._rate(profile), answer=answer)
                )
                if way == ROUTER and answer.request_id:
                    await self._facts(answer.request_id)

    def _rate(self, profile: Profile) -> float:
        return self._rates.get(profile.name, profiles.TOKENS_PER_WORD)

    async def _must_answer(self, way: str, profile: Profile, asked: Prompt) -> Answer:
        try:
            return await self._ask(way, profile, asked)
        except Failed as failed:
            where = "through the router" if way == ROUTER else "beside the router"
            raise BenchError(f"{self._run.target} does not answer {where}: {failed}") from None

    async def _facts(self, request_id: str) -> None:
        row = await self._row(request_id)
        if row is not None:
            facts = facts_of(row)
            if facts != self._writer.results.facts:
                self._writer.add(facts)

    async def _cold(self) -> None:
        """Have the model unloaded, and see how long the next request takes."""
        target = self._tools.beside
        left = self._run.cold - len(self._writer.results.cold)
        if left <= 0:
            return
        if target is None or target.dialect != "ollama":
            raise BenchError(
                "only an Ollama that can be asked beside the router unloads a model when it is told to; "
                "leave --cold out for this target"
            )
        small = Profile("cold", "", 60, 16)
        for number in range(left):
            self._say(f"cold load {number + 1} of {left}")
            await self._unload(target)
            asked = profiles.prompt(small, f"{self._run.seed} cold {number}", profiles.TOKENS_PER_WORD)
            self._writer.add(Cold(answer=await self._must_answer(BESIDE, small, asked)))

    async def _unload(self, target: Target) -> None:
        body = {"model": target.model, "keep_alive": 0}
        try:
            await asyncio.to_thread(send, "POST", f"{target.base_url}/api/generate", body=body, timeout=_UNLOAD_S)
        except Unreachable as error:
            raise BenchError(str(error)) from None
        until = monotonic() + _UNLOAD_S
        while (await meter.reported(target))[0] is not None:
            if monotonic() > until:
                raise BenchError(
                    f"{target.id} is still in memory {_UNLOAD_S:g} s after it was told to go; is it in use?"
                )
            await asyncio.sleep(0.1)

    # -- a block -----------------------------------------------------------------------------------------------------

    async def _block(self, block: Block) -> None:
        self._say(self._clock.line(block))
        # What a kill cut off is in the engine's cache: its prompts are not asked again.
        again = f" again {time()}" if block.number in self._writer.results.blocks else ""
        self._seed = f"{self._run.seed} {block.number}{again}"
        self._writer.add(Begin(block=block.number))
        began, clock = time(), monotonic()
        load = _Load(self, block)
        await load.run()
        ended = time()
        if block.concurrency > 1:
            await asyncio.sleep(self._settling(block))
        size, vram = await meter.reported(self._tools.beside)
        used = meter.used(self._tools.meter.samples(), began, ended)
        self._clock.took(block, monotonic() - clock)
        self._writer.add(
            Done(
                block=block.number,
                began=began,
                ended=ended,
                resident_bytes=used.resident_bytes,
                reported_bytes=size,
                reported_vram_bytes=vram,
                processor_joules=used.processor_joules,
                graphics_joules=used.graphics_joules,
            )
        )

    def _settling(self, block: Block) -> float:
        """Seconds until what kept the load up is gone: an engine that reads a prompt first reads it to its end."""
        tokens = [each.answer.first_token for each in self._writer.results.blocks[block.number] if each.answer]
        return min(max([_SETTLE_S, *tokens]), _MOST_SETTLE_S)

    async def request(self, block: Block, number: int) -> None:
        """One counted request of a block. Raises `BenchError` where there is no point in another."""
        profile = block.profile
        phase = (AGAIN if number else FIRST) if profile.repeats else ""
        answer, error = None, ""
        try:
            answer = await self._ask(block.way, profile, self._prompt(block, str(number)))
            self._streak = 0
            error = await self._elsewhere(block, answer)
        except Failed as failed:
            error = str(failed)
            self._count(block, failed)
        self._writer.add(
            Request(
                block=block.number,
                profile=profile.name,
                concurrency=block.concurrency,
                way=block.way,
                phase=phase,
                answer=None if error else answer,
                error=error,
            )
        )

    async def fill(self, block: Block, number: int) -> None:
        """A request that counts nowhere: it keeps the load up until the last counted one has ended."""
        try:
            await self._ask(block.way, block.profile, self._prompt(block, f"fill {number}"))
        except Failed:
            await asyncio.sleep(0.05)

    @property
    def keeps_load_up(self) -> bool:
        """At a cloud requests that do not count would be paid for."""
        return self._tools.purse is None

    def _prompt(self, block: Block, word: str) -> Prompt:
        return profiles.prompt(block.profile, f"{self._seed} {word}", self._rate(block.profile), self._seed)

    async def _elsewhere(self, block: Block, answer: Answer) -> str:
        """What is wrong with who answered; "" if nothing is."""
        if block.way != ROUTER:
            return ""
        target, locality = answer.target, answer.locality
        if not target and answer.request_id:
            # An answer that was long in coming got its head before anybody knew whose it would be.
            row = await self._row(answer.request_id)
            target, locality = (row.target or "", row.locality or "") if row else ("", "")
        if not target or target == self._run.target:
            return ""
        if locality == "cloud" and not self._run.spend:
            raise BenchError(f"{target}, a cloud, answered for {self._run.target}, which is local: stopped at once")
        return f"answered by {target} in its place"

    def _count(self, block: Block, failed: Failed) -> None:
        self._streak += not failed.busy
        refused = failed.status in (401, 403)
        if refused or failed.unreachable or self._streak >= GIVE_UP:
            where = self._run.target if block.way == BESIDE or not (refused or failed.unreachable) else "the router"
            again = "" if refused or failed.unreachable else f", {GIVE_UP} times in a row"
            raise BenchError(f"{where} stopped answering{again}: {failed}")

    # -- one request -------------------------------------------------------------------------------------------------

    async def _ask(self, way: str, profile: Profile, asked: Prompt) -> Answer:
        body: dict[str, Any] = {"messages": asked.messages, "max_tokens": profile.answer_tokens, "temperature": 0}
        if asked.tools:
            body["tools"] = asked.tools
        purse, most = self._tools.purse, self._tools.most
        # Past the router there is no cloud.
        if way == BESIDE or purse is None or most is None:
            return await self._tools.ways[way].ask(body)
        number = purse.take(most(read(msgspec.json.encode({**body, "model": "m"})), profile.answer_tokens))
        answer = await self._tools.ways[way].ask(body)
        row = await self._row(answer.request_id)
        purse.settle(number, settled(row))
        return answer

    async def _row(self, request_id: str) -> Entry | None:
        return await asyncio.to_thread(row_of, self._tools.router, request_id)


class _Load:
    """So many requests at once, until a block's own have all ended."""

    def __init__(self, runner: Runner, block: Block) -> None:
        self._runner = runner
        self._block = block
        self._numbers = iter(range(block.requests))
        self._fillers = itertools.count()
        self._left = block.requests
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Raises what a request raises, once all others are ended."""
        workers = [asyncio.ensure_future(self._work()) for _ in range(self._block.concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self) -> None:
        for number in self._numbers:
            await self._runner.request(self._block, number)
            self._left -= 1
        if not self._left:
            self._over.set()
        elif self._runner.keeps_load_up:
            await self._keep_up()

    async def _keep_up(self) -> None:
        over = asyncio.ensure_future(self._over.wait())
        try:
            while not self._over.is_set():
                filling = asyncio.ensure_future(self._runner.fill(self._block, next(self._fillers)))
                try:
                    await asyncio.wait((filling, over), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    filling.cancel()
                    await asyncio.gather(filling, return_exceptions=True)
        finally:
            over.cancel()


class Clock:
    """How far it is, and how long the rest takes if blocks of the same row go on as they did."""

    def __init__(self, planned: Sequence[Block], done: set[int]) -> None:
        self._planned = planned
        self._done = set(done)
        self._seconds: dict[tuple[str, int], list[float]] = {}

    def took(self, block: Block, seconds: float) -> None:
        self._done.add(block.number)
        self._seconds.setdefault(_row(block), []).append(seconds)

    def line(self, block: Block) -> str:
        """What is begun now, and the time left where it is known."""
        where = "through the router" if block.way == ROUTER else "beside the router"
        left = self.left()
        told = f", about {_duration(left)} left" if left is not None else ""
        return (
            f"{block.profile.name}, {block.concurrency} at once, {where}: "
            f"block {block.number + 1} of {len(self._planned)}{told}"
        )

    def left(self) -> float | None:
        """Seconds; None until anything was measured."""
        if not self._seconds:
            return None
        everything = [each for row in self._seconds.values() for each in row]
        usual = sum(everything) / len(everything)
        rest = [block for block in self._planned if block.number not in self._done]
        return sum(_mean(self._seconds.get(_row(block)), usual) for block in rest)


def _row(block: Block) -> tuple[str, int]:
    return block.profile.name, block.concurrency


def _mean(values: Sequence[float] | None, usual: float) -> float:
    return sum(values) / len(values) if values else usual


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
