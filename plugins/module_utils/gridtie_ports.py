"""Who listens on a TCP port of this machine."""

from __future__ import annotations

import contextlib
import pwd
from pathlib import Path
from typing import Iterator

# State LISTEN in /proc/net/tcp (include/net/tcp_states.h).
_LISTEN = "0A"


def parse_listeners(table: str) -> Iterator[tuple[int, int, str]]:
    """Port, owner's uid and socket inode of each listening line of /proc/net/tcp or /proc/net/tcp6."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            yield int(fields[1].rpartition(":")[2], 16), int(fields[7]), fields[9]


def _process_of(inode: str) -> str:
    """Name and pid of the process that holds the socket; empty where that may not be seen (another user's process)."""
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").iterdir():
        # Processes end while they are looked at, and other users' may not be.
        with contextlib.suppress(OSError):
            if process.name.isdigit() and any(str(file.readlink()) == wanted for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text(encoding='utf-8').strip()} (pid {process.name})"
    return ""


def holder(port: int) -> str:
    """The process that listens on the port, in words; empty where nobody does."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), Path(table).open(encoding="ascii") as file:
            for listening, uid, inode in parse_listeners(file.read()):
                if listening == port:
                    return _process_of(inode) or f"a process of the user {_user(uid)}"
    return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
