"""Who listens on a TCP port of this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
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
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{descriptor}") == wanted:
                    with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                        return f"{file.read().strip()} (pid {pid})"
    return ""


def holder(port: int) -> str:
    """The process that listens on the port, in words; empty where nobody does."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as file:
            for listening, uid, inode in parse_listeners(file.read()):
                if listening == port:
                    return _process_of(inode) or f"a process of the user {_user(uid)}"
    return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
