"""Notices that files of a directory have changed: by looking once a second, and at SIGHUP.

Looking works everywhere, where inotify does not: bind mounts into a container, files replaced by a rename,
network file systems. A look costs a few microseconds a file.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

log = logging.getLogger("gridtie.config")

# Seconds between looks.
INTERVAL = 1.0

# Name -> what changes when its content does; an inode changes with a rename, a size with a quick second write.
Fingerprint = tuple[tuple[str, int, int, int], ...]


def fingerprint(directory: Path, subdirectories: Sequence[str] = ()) -> Fingerprint:
    """What the files of a directory look like from outside; the files themselves are not read."""
    rows = []
    for folder in (directory, *(directory / name for name in subdirectories)):
        try:
            entries = sorted(folder.iterdir())
        except OSError:  # not there, or not readable: whoever loads says so
            continue
        for entry in entries:
            try:
                status = entry.stat()
            except OSError:  # gone between listing and looking
                continue
            rows.append((str(entry), status.st_mtime_ns, status.st_ino, status.st_size))
    return tuple(rows)


class Watcher:
    """Calls back after a change; one call at a time, and never for a change that a call has seen already.

    A call that fails is logged, and the next change is told as ever.
    """

    def __init__(
        self,
        directory: Path,
        changed: Callable[[], Awaitable[None]],
        *,
        subdirectories: Sequence[str] = (),
        interval: float = INTERVAL,
    ) -> None:
        self._directory = directory
        self._subdirectories = subdirectories
        self._changed = changed
        self._interval = interval
        self._asked = asyncio.Event()
        self._seen = self._look()

    def ask(self) -> None:
        """Call back now, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        signals = _on_hangup(loop, self.ask)
        try:
            while True:
                asked = await self._pause()
                seen = self._look()
                if asked or seen != self._seen:
                    # Kept from before the call: what changes while it reads is a change once more.
                    self._seen = seen
                    await self._call()
        finally:
            if signals:
                loop.remove_signal_handler(signal.SIGHUP)

    async def _call(self) -> None:
        try:
            await self._changed()
        except Exception:
            # Whoever mends what it stumbled over is heard all the same, and a revoked key is revoked.
            log.exception("the changed files of %s could not be taken up; they are still watched", self._directory)

    async def _pause(self) -> bool:
        try:
            async with asyncio.timeout(self._interval):
                await self._asked.wait()
        except TimeoutError:
            return False
        self._asked.clear()
        return True

    def _look(self) -> Fingerprint:
        return fingerprint(self._directory, self._subdirectories)


def _on_hangup(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> bool:
    """Whether SIGHUP could be taken; it cannot outside the main thread."""
    try:
        loop.add_signal_handler(signal.SIGHUP, callback)
    except (NotImplementedError, RuntimeError, ValueError):
        log.debug("SIGHUP is not taken here; changes are seen within %g s", INTERVAL)
        return False
    return True
