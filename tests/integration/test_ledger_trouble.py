"""A disk that is full, a clock that jumps, a router that is told to stop in the middle of its work: real processes.

What is promised: an answer that cannot be metered is not given, what was answered is in the ledger, and it goes on
by itself once there is room again. (kill -9 under load: test_router_process.py, test_ledger_kill.py.)
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import time

import pytest

from standins.process import Process, process
from standins.router import Answered, chat, request, routing, run
from standins.scripted import Turn, Upstream, stream, whole

LIMIT_S = 100.0
# The ledger wants 16 MB free; this leaves it some rows of room before that.
DISK_BYTES = 24 * 1024 * 1024


async def _as_asked(turn: Turn) -> None:
    await (stream("a", "b") if turn.json.get("stream") else whole())(turn)


async def _ask(router: Process, *, streamed: bool = False) -> Answered:
    wire = await router.connect()
    try:
        await wire.send(request(chat(stream=streamed), port=router.port))
        return await wire.answered()
    finally:
        wire.close()


def _rows(state: Path) -> dict[str, tuple[int, int]]:
    """Id -> status and whether it is complete, as the file has them."""
    with sqlite3.connect(state / "ledger" / "ledger.sqlite") as database:
        found = database.execute("SELECT id, status, complete FROM requests").fetchall()
    database.close()
    return {id: (status, complete) for id, status, complete in found}


@contextmanager
def small_disk(where: Path) -> Iterator[bool]:
    """A file system of its own at a directory, if this machine lets one be mounted; whether it did."""
    where.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(where)]
    mounted = shutil.which("mount") is not None and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(where)], check=True)


def _small_files() -> None:
    """No file of this process may grow beyond the limit: writing fails as it does on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, resource.RLIM_INFINITY))


async def _until_refused(router: Process) -> tuple[list[Answered], Answered]:
    """Ask until something is not answered; what was, and what was not."""
    answered: list[Answered] = []
    async with asyncio.timeout(60):
        while True:
            batch = await asyncio.gather(*(_ask(router, streamed=bool(n % 2)) for n in range(8)))
            answered += [each for each in batch if each.status == 200 and b'"error"' not in each.body]
            refused = [each for each in batch if each.status != 200]
            if refused:
                return answered, refused[0]


def test_with_a_full_disk_nothing_is_answered_that_is_not_metered_and_it_goes_on_once_there_is_room(
    tmp_path: Path,
) -> None:
    async def fill() -> tuple[list[Answered], Answered, int, int, str, bool]:
        state = tmp_path / "state"
        with small_disk(state) as mounted:
            prepare = None if mounted else _small_files
            async with Upstream(_as_asked) as here:
                rules = routing(here.url, use="[local]")
                async with process(tmp_path, rules, prepare=prepare, GRIDTIE_ACCESS_LOG="off") as router:
                    answered = [await _ask(router), await _ask(router, streamed=True)]
                    if mounted:
                        # All of it, as somebody's download would.
                        _fill(state / "download")
                    more, refused = await _until_refused(router)
                    answered += more
                    ready = (await router.get("/readyz")).status_code
                    alive = (await router.get("/healthz")).status_code
                    if mounted:
                        (state / "download").unlink()
                    else:
                        resource.prlimit(router.child.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                    again = await _until_answered(router)
                    answered.append(again)
                    _, _, log = await router.stop()
                kept = _rows(state)
        missing = {each.headers["x-gridtie-request-id"] for each in answered} - kept.keys()
        assert not missing, f"{len(missing)} of {len(answered)} answers are not in the ledger"
        return answered, refused, ready, alive, log, mounted

    answered, refused, ready, alive, log, _ = run(fill, LIMIT_S)

    assert len(answered) >= 3
    assert (refused.status, refused.error["code"]) == (503, "not_metered")
    assert "retry-after" in refused.headers
    assert (ready, alive) == (503, 200)
    assert "failed inside the router" not in log


def _fill(path: Path) -> None:
    block = bytes(64 * 1024)
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(block):
                pass
        except OSError:
            pass


async def _until_answered(router: Process) -> Answered:
    async with asyncio.timeout(30):
        while True:
            answered = await _ask(router)
            if answered.status == 200:
                return answered
            assert answered.status == 503, answered.body
            await asyncio.sleep(0.2)


def test_a_router_whose_disk_is_full_from_the_start_says_so(tmp_path: Path) -> None:
    async def start() -> tuple[int, str]:
        state = tmp_path / "state"
        with small_disk(state) as mounted:
            if mounted:
                _fill(state / "download")
            prepare = None if mounted else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            router = Process(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]"), prepare=prepare)
            await router.start()
            try:
                async with asyncio.timeout(20):
                    status, _, errors = await router.ended()
            finally:
                if router.child.returncode is None:
                    router.child.kill()
            return status, errors

    status, errors = run(start, LIMIT_S)

    assert status == 3
    assert str(tmp_path / "state") in errors
    assert "Traceback" not in errors


@asynccontextmanager
async def jumping(directory: Path, rules: str, file: Path) -> AsyncIterator[Process]:
    """A router whose wall clock is what a file says: `standins/wall_clock` shifts time.time() of its process."""
    here = Path(__file__).parents[1] / "standins" / "wall_clock"
    path = os.pathsep.join((str(here), str(Path(__file__).parents[2] / "src")))
    environment = {"PYTHONPATH": path, "GRIDTIE_TEST_CLOCK": str(file), "GRIDTIE_ACCESS_LOG": "off"}
    async with process(directory, rules, **environment) as router:
        yield router


@pytest.mark.parametrize("seconds", [-86400.0, 36 * 3600.0, 12 * 365 * 86400.0])
def test_a_wall_clock_that_jumps_ends_no_request_and_loses_no_row(tmp_path: Path, seconds: float) -> None:
    """While streams are under way and one waits; time-outs go by another clock, which does not jump."""

    async def jump() -> tuple[list[Answered], Answered, int]:
        clock = tmp_path / "clock"
        clock.write_text("0")
        async with Upstream(stream("a", "b", "c", "d", between=0.2)) as here:
            rules = routing(here.url, use="[local]", timeouts="{first_token: 5, between_tokens: 5, total: 20}")
            async with jumping(tmp_path, rules, clock) as router:
                under_way = [asyncio.ensure_future(_ask(router, streamed=True)) for _ in range(6)]
                await here.turn(6)
                clock.write_text(str(seconds))
                answered = list(await asyncio.gather(*under_way))
                after = await _ask(router, streamed=True)
                answered.append(after)
                ready = (await router.get("/readyz")).status_code
                usage = await router.get("/gridtie/usage?since=3000w&until=4102444800")
                assert usage.status_code == 200, usage.text
                assert usage.json()["totals"]["requests"] == len(answered)
                shown = (await router.get(f"/gridtie/requests/{after.headers['x-gridtie-request-id']}")).json()
                assert 0 <= shown["duration"] < 20, shown
                # The clock did jump.
                assert abs(shown["time"] - time() - seconds) < 60, shown
                await router.stop()
        kept = _rows(tmp_path / "state")
        assert {each.headers["x-gridtie-request-id"] for each in answered} == kept.keys()
        return answered, after, ready

    answered, after, ready = run(jump, LIMIT_S)

    assert [each.text for each in answered] == ["abcd"] * 7
    assert after.whole
    assert ready == 200


def test_sigterm_under_load_loses_no_answer_and_cuts_none(tmp_path: Path) -> None:
    """Every answer that began ends well, every row says what its client saw, and whoever comes later is turned away."""

    async def ask(router: Process, seen: list[Answered], began: asyncio.Event) -> None:
        streamed = False
        try:
            while True:
                streamed = not streamed
                seen.append(await _ask(router, streamed=streamed))
                if len(seen) >= 40:
                    began.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass

    async def stop() -> tuple[list[Answered], int, dict[str, tuple[int, int]], str]:
        seen: list[Answered] = []
        began = asyncio.Event()
        async with Upstream(_as_asked) as here:
            rules = routing(here.url, use="[local]")
            async with process(tmp_path, rules, GRIDTIE_ACCESS_LOG="off") as router:
                asking = [asyncio.ensure_future(ask(router, seen, began)) for _ in range(12)]
                await began.wait()
                status, _, log = await router.stop()
                await asyncio.gather(*asking)
        return seen, status, _rows(tmp_path / "state"), log

    seen, status, kept, log = run(stop, LIMIT_S)
    said = Counter(each.status for each in seen)

    assert status == 0
    assert [each for each in seen if not each.whole] == []
    assert set(said) <= {200, 503}
    assert {each.headers["x-gridtie-request-id"] for each in seen if each.status == 200} <= kept.keys()
    assert all(complete for row, complete in kept.values() if row == 200)
    assert "Traceback" not in log
