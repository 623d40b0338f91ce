"""The past is read by one thread: equal questions are one, too many are told so, and one that takes too long ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gridtie.gateway.dashboard import reader
from gridtie.gateway.dashboard.reader import Reader
from gridtie.gateway.exchange import Head
from gridtie.gateway.keys import Key
from standins.ledger import open_ledger
from standins.router import run

T = TypeVar("T")


class Waiting:
    """Stands for an exchange: keeps what it is answered."""

    id = "e1"

    def __init__(self, key: str = "dev") -> None:
        self.head = Head()
        self.head.key = Key(name=key, environments=("dev",))
        self.answered = asyncio.Event()
        self.status = 0
        self.body = b""

    def respond(self, status: int, fields: bytes, body: bytes = b"") -> None:
        self.status, self.body = status, body
        self.answered.set()


def reading(directory: Path, work: Callable[[Reader], Awaitable[T]]) -> T:
    async def inside() -> T:
        found = Reader(ledger.database, asyncio.get_running_loop())
        try:
            return await work(found)
        finally:
            found.close()

    ledger = open_ledger(directory)
    try:
        return run(inside)
    finally:
        ledger.close()


async def ask(found: Reader, question: str, read: Any, key: str = "dev", **options: Any) -> Waiting:
    waiting = Waiting(key)
    found.answer(waiting, question, read, **options)  # type: ignore[arg-type]
    return waiting


def test_equal_questions_that_come_together_are_read_once_and_an_answer_stands(tmp_path: Path) -> None:
    async def work(found: Reader) -> tuple[int, list[bytes]]:
        reads = 0

        def read(_: Any) -> bytes:
            nonlocal reads
            reads += 1
            return b"%d" % reads

        several = [await ask(found, "q", read, stands=60) for _ in range(5)]
        await asyncio.gather(*(each.answered.wait() for each in several))
        later = await ask(found, "q", read, stands=60)
        other = await ask(found, "other", read)
        await other.answered.wait()
        again = await ask(found, "other", read)
        await again.answered.wait()
        return reads, [each.body for each in (*several, later, other, again)]

    reads, bodies = reading(tmp_path, work)
    assert reads == 3
    assert bodies == [b"1"] * 6 + [b"2", b"3"]


def test_an_answer_that_stands_no_longer_is_let_go(tmp_path: Path) -> None:
    """Also where its question does not come again: questions are of as many kinds as there are filters."""

    async def work(found: Reader) -> list[Any]:
        for at in range(10):
            waiting = await ask(found, str(at), lambda _: b"large", stands=0.01)
            await waiting.answered.wait()
            await asyncio.sleep(0.02)
        await (await ask(found, "last", lambda _: b"", stands=60)).answered.wait()
        return list(found._kept)

    assert reading(tmp_path, work) == ["last"]


def test_one_is_read_at_a_time_and_the_loop_waits_for_none(tmp_path: Path) -> None:
    async def work(found: Reader) -> tuple[int, int]:
        running = most = 0
        lock, go = threading.Lock(), threading.Event()

        def read(_: Any) -> bytes:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            go.wait(5)
            with lock:
                running -= 1
            return b""

        waiting = [await ask(found, str(at), read) for at in range(4)]
        ticks = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            ticks += 1
        go.set()
        await asyncio.gather(*(each.answered.wait() for each in waiting))
        return most, ticks

    assert reading(tmp_path, work) == (1, 20)


def test_whoever_comes_while_too_many_wait_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_WAITING", 2)

    async def work(found: Reader) -> list[int]:
        go = threading.Event()

        def read(_: Any) -> bytes:
            go.wait(5)
            return b""

        waiting = [await ask(found, str(at), read) for at in range(3)]
        go.set()
        await asyncio.gather(*(each.answered.wait() for each in waiting))
        return [each.status for each in waiting]

    assert reading(tmp_path, work) == [200, 200, 503]


def test_one_key_cannot_keep_the_others_from_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_OF_A_KEY", 2)

    async def work(found: Reader) -> list[int]:
        go = threading.Event()

        def read(_: Any) -> bytes:
            go.wait(5)
            return b""

        waiting = [await ask(found, f"dev-{at}", read) for at in range(3)]
        waiting.append(await ask(found, "other", read, key="other"))
        go.set()
        await asyncio.gather(*(each.answered.wait() for each in waiting))
        return [each.status for each in waiting]

    assert reading(tmp_path, work) == [200, 200, 503, 200]


def test_a_question_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_SECONDS", 0.05)
    monkeypatch.setattr(reader, "_STEPS", 1000)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    async def work(found: Reader) -> Waiting:
        waiting = await ask(found, "q", lambda connection: connection.execute(endless).fetchone())
        await waiting.answered.wait()
        return waiting

    waiting = reading(tmp_path, work)
    assert waiting.status == 503
    assert b"shorter period" in waiting.body


def test_a_ledger_that_cannot_be_read_is_said_without_its_path(tmp_path: Path) -> None:
    async def work(found: Reader) -> list[Waiting]:
        found._database = tmp_path / "nowhere" / "ledger.sqlite"
        waiting = await ask(found, "q", lambda connection: b"", stands=60)
        await waiting.answered.wait()
        found._database = tmp_path / "ledger" / "ledger.sqlite"
        again = await ask(found, "q", lambda connection: b"well", stands=60)
        await again.answered.wait()
        return [waiting, again]

    wrong, well = reading(tmp_path, work)
    assert wrong.status == 503
    assert str(tmp_path).encode() not in wrong.body
    # What went wrong does not stand.
    assert (well.status, well.body) == (200, b"well")


def test_a_fault_of_ours_is_an_answer(tmp_path: Path) -> None:
    def read(_: Any) -> bytes:
        raise RuntimeError("a fault")

    async def work(found: Reader) -> int:
        waiting = await ask(found, "q", read)
        await waiting.answered.wait()
        return waiting.status

    assert reading(tmp_path, work) == 500
