"""The locks of the package manager: who holds one, and to wait until nobody does.

apt waits by itself for one of them. At boot, and while an unattended upgrade runs, it is the others that are held: the
package lists by the timer that fetches them, dpkg's own by what is being configured.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path
from typing import Callable, NamedTuple, Sequence

from .gridtie_command import redact

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
# How apt and dpkg word it that somebody was there first.
_REFUSED = ("could not get lock", "unable to lock", "unable to acquire the dpkg", "is locked by another process")
_PAUSE_S = 1.0
# struct flock: type, whence, start, length, process.
_FLOCK = "hhqqi"


class Holder(NamedTuple):
    """A lock that is held, and by which process; 0 where it cannot be seen from here (another container's)."""

    path: str
    process: int
    command: str

    def __str__(self) -> str:
        who = f"process {self.process} ({self.command})" if self.process else "a process outside of this machine's view"
        return f"{self.path} is held by {who}"


class BusyError(Exception):
    """A lock was held for longer than was to be waited."""


def holder(paths: Sequence[str] = LOCKS) -> Holder | None:
    """The first lock that somebody holds. Takes none, not for a moment: another program would fail at it."""
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, process = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
        except FileNotFoundError:
            continue
        if kind != fcntl.F_UNLCK:
            return Holder(path, max(process, 0), _command(process))
    return None


def _command(process: int) -> str:
    try:
        words = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
    return redact(words)[:80]


def refused(output: str) -> bool:
    """Whether apt or dpkg ended because somebody else holds a lock."""
    return any(words in output.lower() for words in _REFUSED)


def wait(limit_s: float, say: Callable[[str], None], paths: Sequence[str] = LOCKS) -> str:
    """Return once nobody holds a lock: what was waited for, or nothing. Raises `BusyError`."""
    began, first = time.monotonic(), None
    while held := holder(paths):
        first = first or held
        waited = time.monotonic() - began
        if waited >= limit_s:
            raise BusyError(
                f"the package manager is busy: {held}, for {waited:.0f} s now; wait until it is through or stop it, or "
                "raise gridtie_package_lock_wait_s"
            )
        say(f"waiting for the package manager: {held}; {limit_s - waited:.0f} s more at most")
        time.sleep(min(_PAUSE_S, limit_s - waited))
    return f"waited {time.monotonic() - began:.0f} s for the package manager: {first}" if first else ""
