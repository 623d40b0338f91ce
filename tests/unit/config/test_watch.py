"""Changes of files are noticed however they are made."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from gridtie.config.watch import Watcher, fingerprint


def replace(path: Path) -> None:
    scratch = path.with_name("scratch")
    scratch.write_text("bbb")
    scratch.replace(path)


def same_size_same_time(path: Path) -> None:
    """What a restore from a backup does: only the inode tells."""
    times = path.stat()
    replace(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


CHANGES: list[Callable[[Path], object]] = [
    lambda path: path.write_text("bbbb"),
    replace,
    same_size_same_time,
    lambda path: path.unlink(),
    lambda path: (path.parent / "new").write_text(""),
    lambda path: (path.parent / "secrets" / "openai").write_text("sk"),
    lambda path: path.parent.rename(path.parent.with_name("gone")),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_way_of_changing_a_file_shows_from_outside(tmp_path: Path, change: Callable[[Path], object]) -> None:
    folder = tmp_path / "etc"
    (folder / "secrets").mkdir(parents=True)
    path = folder / "file"
    path.write_text("aaa")
    before = fingerprint(folder, ["secrets"])
    change(path)

    assert fingerprint(folder, ["secrets"]) != before


def test_nothing_changes_by_looking(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")

    assert fingerprint(tmp_path) == fingerprint(tmp_path)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


def test_a_change_is_told_once(tmp_path: Path) -> None:
    async def main() -> int:
        calls = 0

        async def changed() -> None:
            nonlocal calls
            calls += 1

        task = asyncio.create_task(Watcher(tmp_path, changed, interval=0.005).run())
        await asyncio.sleep(0.02)
        assert calls == 0
        (tmp_path / "file").write_text("a")
        await until(lambda: calls > 0)
        await asyncio.sleep(0.05)
        task.cancel()
        return calls

    assert asyncio.run(main()) == 1


def test_a_change_during_the_call_is_told_again(tmp_path: Path) -> None:
    async def main() -> None:
        calls = 0

        async def changed() -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                (tmp_path / "file").write_text("longer than before")

        task = asyncio.create_task(Watcher(tmp_path, changed, interval=0.005).run())
        (tmp_path / "file").write_text("a")
        await until(lambda: calls == 2)
        task.cancel()

    asyncio.run(main())


def test_sighup_asks_for_a_reload_and_the_handler_goes_with_the_watcher(tmp_path: Path) -> None:
    async def main() -> None:
        called = asyncio.Event()

        async def changed() -> None:
            called.set()

        task = asyncio.create_task(Watcher(tmp_path, changed, interval=60).run())
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(5):
            await called.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())

    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_call_that_fails_is_logged_and_the_next_change_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        calls = 0

        async def changed() -> None:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise RecursionError("of a file")

        task = asyncio.create_task(Watcher(tmp_path, changed, interval=0.005).run())
        (tmp_path / "file").write_text("a")
        await until(lambda: calls == 1)
        (tmp_path / "file").write_text("mended")
        await until(lambda: calls == 2)
        assert not task.done()
        task.cancel()

    asyncio.run(main())
    assert "could not be taken up" in caplog.text
