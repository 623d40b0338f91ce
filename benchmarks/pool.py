"""Ten routers and six machines that they share: how long requests wait, beside a scheduler that knows everything.

`python benchmarks/pool.py [--json FILE] [--seconds 60] [--loads 0.7 0.8 0.9]`

Six stations with one model, of other speeds and with other numbers of slots, each a router of its own before an engine
that serves as fast as it is told to; ten routers that ask them, each with clients of its own, of which the first has
three times as many as the last. Requests come at random (Poisson) and are of random size (its logarithm normal, with a
deviation as large as the mean); a mean one takes two seconds at speed 1. What is real: every router, its decisions,
TLS, HTTP, probes and slots, over sockets of the loopback. What is not: time. All of it runs in one process whose clock
stands still while there is anything to do, and goes to the next event when there is not, so that the figures are the
same on a slow machine and a busy one. What routers and network take themselves, some milliseconds, is not in them.
Answers of a model take several times as long as here, while probes come every two seconds all the same: routers know
less of each other here than they do in an office.

Beside each run stands what the least-work scheduler makes of the same requests: it knows every size and every machine,
sends each request at once to the machine that can begin it first, and of several the fastest. That is computed.

Then the same pool at 60 % of what its machines can do, while one drains and comes back, one is killed and comes back,
and one becomes twenty times as slow.

Exit status 1 where a request is lost, a machine is given more than it has slots for, or the 99th percentile of waiting
is above 1.5 times the other's.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import heapq
import json
import math
import platform
import random
import selectors
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from stand import ROOT, free_port

sys.path += [str(ROOT / "tests"), str(ROOT / "src")]
from gridtie.gateway.serve import Options, Router
from standins.authority import make_authority
from standins.pool import Engine, Member, asking, lending
from standins.router import Wire, chat, request

T = TypeVar("T")

ROUTERS = 10


class Machine(NamedTuple):
    """A station of the pool: requests that it serves at once, and how fast it serves each."""

    name: str
    slots: int
    speed: float


MACHINES = (
    Machine("large", 4, 2.0),
    Machine("first", 4, 1.0),
    Machine("second", 4, 1.0),
    Machine("small", 2, 1.0),
    Machine("old", 4, 0.5),
    Machine("oldest", 2, 0.5),
)
# Seconds that a mean request takes at speed 1.
SERVICE = 2.0
# How many times the omniscient scheduler's 99th percentile of waiting it may be.
WANTED = 1.5

# The course of the second part, in seconds, and the load that its machines would have if all of them were there.
COURSE = (
    (10.0, "large", "drains"),
    (20.0, "large", "comes back"),
    (30.0, "first", "is killed"),
    (40.0, "first", "comes back"),
    (50.0, "second", "becomes slow"),
)
COURSE_SECONDS, COURSE_LOAD = 70.0, 0.6
# Until it has shown that it is slow, by answers that were under way.
SLOW_SHOWN = 10.0
SLOWER = 20.0
# Of the pictures of the second part.
STEP_SECONDS = 2.0


class Arrival(NamedTuple):
    """A request: when it comes (seconds from the start), at which router, and how much work it is (seconds)."""

    due: float
    router: int
    work: float


def capacity() -> float:
    """Work that all machines do in a second."""
    return sum(machine.slots * machine.speed for machine in MACHINES)


def arrivals(load: float, seconds: float, seed: int) -> list[Arrival]:
    """The requests of a run."""
    lot = random.Random(seed)
    shares = [1 / math.sqrt(number + 1) for number in range(ROUTERS)]
    # Of a logarithm with mean 1 and deviation 1.
    width = math.sqrt(math.log(2.0))
    found, due = [], 0.0
    while (due := due + lot.expovariate(load * capacity() / SERVICE)) < seconds:
        work = SERVICE * math.exp(lot.gauss(-width * width / 2, width))
        found.append(Arrival(due, lot.choices(range(ROUTERS), shares)[0], work))
    return found


def omniscient(requests: Sequence[Arrival]) -> list[float]:
    """Seconds that each waits where everything is known: at the machine that can begin it first, then the fastest."""
    free = [[0.0] * machine.slots for machine in MACHINES]
    waits = []
    for each in requests:
        at = min(range(len(free)), key=lambda at: (max(free[at][0], each.due), -MACHINES[at].speed))
        begin = max(free[at][0], each.due)
        heapq.heapreplace(free[at], begin + each.work / MACHINES[at].speed)
        waits.append(begin - each.due)
    return waits


def percentile(values: Sequence[float], part: float) -> float:
    """The value that a part of all is not above."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def told(waits: Sequence[float]) -> dict[str, float]:
    """Figures of waiting, in seconds."""
    parts = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "longest": 1.0}
    return {name: round(percentile(waits, part), 4) for name, part in parts.items()} | {
        "mean": round(sum(waits) / len(waits), 4)
    }


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time is that of its events: it does not pass while there is anything to do."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self._now

    def pass_by(self, seconds: float) -> None:
        """Nothing is to be done for so long."""
        self._now += seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """At once: what another thread does would take no time of this clock, and all the time of the others."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def everywhere(self) -> None:
        """Let all modules that read the monotonic clock read this one."""
        for module in list(sys.modules.values()):
            if getattr(module, "monotonic", None) is time.monotonic and module is not time:
                module.monotonic = self.time  # type: ignore[attr-defined]


class _Selector(selectors.DefaultSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # What was written to a socket of the loopback is there for its reader when the write returns.
        events = super().select(0.0)
        if not events and timeout is not None and timeout > 0:
            self._clock.pass_by(timeout)
        return events if events or timeout is not None else super().select(timeout)


class Answer(NamedTuple):
    """What became of a request; times are the clock's."""

    status: int
    machine: str
    sent: float
    ended: float


class Stand:
    """Engines, the routers before them, and those that ask."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.engines = {machine.name: Engine(machine.speed, machine.name) for machine in MACHINES}
        self._members = [Member(machine.name, free_port(), machine.slots) for machine in MACHINES]
        self._running: dict[str, Router] = {}
        self._askers = [f"router-{number}" for number in range(ROUTERS)]

    async def start(self) -> None:
        """All of it, each router knowing how the others are."""
        authority = self._scratch / "authority"
        make_authority(authority)
        for member in self._members:
            engine = await self.engines[member.name].__aenter__()
            lending(self._scratch / member.name / "config", authority, member, engine.url, self._askers)
            await self._run(member.name, member.port)
        for name in self._askers:
            asking(self._scratch / name / "config", authority, name, self._members)
            await self._run(name)
        await asyncio.sleep(5)

    async def _run(self, name: str, tls_port: int = 0) -> None:
        directory = self._scratch / name
        options = Options(
            config_dir=directory / "config",
            state_dir=directory / "state",
            host="127.0.0.1",
            port=0,
            access_log=False,
            drain_seconds=30.0,
            tls=("127.0.0.1", tls_port) if tls_port else None,
        )
        self._running[name] = router = Router(options, {})
        await router.start()

    async def stop(self) -> None:
        """All of it."""
        for router in self._running.values():
            await _killed(router)
        for engine in self.engines.values():
            await engine.__aexit__(None, None, None)

    async def change(self, name: str, what: str) -> None:
        """Something happens to a machine."""
        if what == "drains":
            await self._running[name].stop()
        elif what == "is killed":
            await _killed(self._running[name])
        elif what == "comes back":
            await self._run(name, next(member.port for member in self._members if member.name == name))
        else:
            self.engines[name].speed /= SLOWER

    async def ask(self, name: str, each: Arrival, start: float) -> Answer:
        """Send a request when it is due, and wait for its answer."""
        clock = asyncio.get_running_loop()
        port = self._running[self._askers[each.router]].port
        await asyncio.sleep(max(0.0, start + each.due - clock.time()))
        sent = clock.time()
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
        try:
            await wire.send(request(chat(f"{name} {each.work:.4f}"), port=port))
            answered = await wire.answered()
        finally:
            wire.close()
        if answered.status != 200:
            print(f"{name}: {answered.status} {answered.body.decode()[:600]}", file=sys.stderr)
        target = answered.headers.get("x-gridtie-target", "")
        return Answer(answered.status, target.partition("/")[0].removeprefix("pool."), sent, clock.time())

    async def all_of(self, names: Sequence[str], requests: Sequence[Arrival], start: float) -> list[Answer]:
        """Send all of them, each when it is due."""
        for engine in self.engines.values():
            engine.most = 0
        return await asyncio.gather(*(self.ask(*each, start) for each in zip(names, requests, strict=True)))

    def began(self, name: str) -> float:
        """When the engine that answered a request began it: the last that did."""
        return max(engine.began.get(name, 0.0) for engine in self.engines.values())

    def waits(self, names: Sequence[str], answers: Sequence[Answer]) -> list[float]:
        """Seconds from sending to the begin of the answer that came."""
        return [max(0.0, self.began(name) - each.sent) for name, each in zip(names, answers, strict=True)]


async def _killed(router: Router) -> None:
    """End a router as its death does: nothing is answered, and every connection breaks."""
    router._shut()
    for under_way in router.runner.under_way():
        under_way._client = _Nobody()  # type: ignore[assignment]
        under_way.cancel()
    for connection in tuple(router.app.connections):
        connection._transport.abort()
    await asyncio.sleep(0)
    await router._close()


class _Nobody:
    """In the place of a client that hears nothing any more."""

    def left(self, outcome: object) -> None:
        pass


async def run_at(stand: Stand, load: float, seconds: float, seed: int) -> dict[str, Any]:
    """One load: how long requests waited, and how long they would have."""
    requests = arrivals(load, seconds, seed)
    names = [f"{load:g}-{number}" for number in range(len(requests))]
    answers = await stand.all_of(names, requests, asyncio.get_running_loop().time())
    ours, theirs = told(stand.waits(names, answers)), told(omniscient(requests))
    return {
        "load": load,
        "requests": len(requests),
        "lost": sum(each.status != 200 for each in answers),
        "waiting": ours,
        "omniscient": theirs,
        "ratio_p99": round(ours["p99"] / theirs["p99"], 3) if theirs["p99"] else None,
        "most_at_once": {name: engine.most for name, engine in stand.engines.items()},
        "answers": dict(Counter(each.machine for each in answers)),
    }


async def run_course(stand: Stand, seed: int) -> dict[str, Any]:
    """What becomes of requests while machines come and go."""
    clock = asyncio.get_running_loop()
    requests = arrivals(COURSE_LOAD, COURSE_SECONDS, seed)
    names = [f"course-{number}" for number in range(len(requests))]
    start = clock.time()
    samples: list[dict[str, int]] = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(STEP_SECONDS / 10)
            samples.append({name: engine.at_once for name, engine in stand.engines.items()})

    async def happen() -> None:
        for due, name, what in COURSE:
            await asyncio.sleep(max(0.0, start + due - clock.time()))
            await stand.change(name, what)

    watching, happening = asyncio.ensure_future(watch()), asyncio.ensure_future(happen())
    answers = await stand.all_of(names, requests, start)
    watching.cancel()
    await happening
    slowed, slow = next((start + due, name) for due, name, what in COURSE if what == "becomes slow")
    began = [stand.began(name) for name in names]
    steps = [samples[at : at + 10] for at in range(0, round(COURSE_SECONDS / STEP_SECONDS) * 10, 10)]
    return {
        "load": COURSE_LOAD,
        "changes": [{"at": due, "machine": name, "what": what} for due, name, what in COURSE],
        "requests": len(requests),
        "lost": sum(each.status != 200 for each in answers),
        "waiting": told(stand.waits(names, answers)),
        "most_at_once": {name: engine.most for name, engine in stand.engines.items()},
        # Of the requests that were begun anywhere once the slow machine had shown that it is slow, its own.
        "begun_after": sum(each > slowed + SLOW_SHOWN for each in began),
        "begun_after_by_the_slow": sum(
            answer.machine == slow and each > slowed + SLOW_SHOWN for answer, each in zip(answers, began, strict=True)
        ),
        "step_seconds": STEP_SECONDS,
        "at_once": [
            {name: round(sum(each[name] for each in step) / len(step), 2) for name in stand.engines}
            for step in steps
            if step
        ],
    }


async def measure(loads: Sequence[float], seconds: float, seed: int) -> dict[str, Any]:
    """All of it."""
    with tempfile.TemporaryDirectory(prefix="gridtie-pool-") as scratch:
        stand = Stand(Path(scratch))
        await stand.start()
        try:
            # Connections are open then, and speeds known.
            await run_at(stand, 0.5, 10.0, seed)
            runs = []
            for load in loads:
                runs.append(await run_at(stand, load, seconds, seed))
                print(json.dumps(runs[-1]), flush=True)
            course = await run_course(stand, seed)
            print(json.dumps({name: value for name, value in course.items() if name != "at_once"}), flush=True)
        finally:
            await stand.stop()
    return {"runs": runs, "course": course}


def faults(found: dict[str, Any]) -> list[str]:
    """What was wanted and is not so."""
    slots = {machine.name: machine.slots for machine in MACHINES}
    wrong = []
    for run in (*found["runs"], found["course"]):
        if run["lost"]:
            wrong.append(f"{run['lost']} requests were lost")
        wrong += [
            f"{name} had {most} requests at once, for {slots[name]} slots"
            for name, most in run["most_at_once"].items()
            if most > slots[name]
        ]
    for run in found["runs"]:
        if run["ratio_p99"] is not None and run["ratio_p99"] > WANTED:
            wrong.append(f"at {run['load']:.0%} p99 of waiting is {run['ratio_p99']} times the omniscient scheduler's")
    return wrong


def main() -> int:
    """Run, print, and keep what was found where it is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each load, by the clock of the run")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.7, 0.8, 0.9])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    clock = Clock()
    clock.everywhere()
    with asyncio.Runner(loop_factory=lambda: clock) as runner:
        measured = runner.run(measure(options.loads, options.seconds, options.seed))
    found = {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "versions": {"python": platform.python_version()},
        "routers": ROUTERS,
        "machines": [machine._asdict() for machine in MACHINES],
        "service": SERVICE,
        "seconds": options.seconds,
        "seed": options.seed,
        **measured,
    }
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for fault in (wrong := faults(found)):
        print(f"not as wanted: {fault}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
