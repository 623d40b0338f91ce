"""Who listens on a TCP port of this machine."""

from __future__ import annotations

import contextlib
import pwd
import sys
from pathlib import Path
from typing import Iterator

from .gridtie_docker import run

# State LISTEN in /proc/net/tcp (include/net/tcp_states.h).
_LISTEN = "0A"


def parse_listeners(table: str) -> Iterator[tuple[int, int, str]]:
    """Port, owner's uid and socket inode of each listening line of /proc/net/tcp or /proc/net/tcp6."""
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            yield int(fields[1].rpartition(":")[2], 16), int(fields[7]), fields[9]


def _pid_of(inode: str) -> int:
    """The process that holds the socket; 0 where that may not be seen (another user's process)."""
    wanted = f"socket:[{inode}]"
    for process in Path("/proc").iterdir():
        # Processes end while they are looked at, and other users' may not be.
        with contextlib.suppress(OSError):
            if process.name.isdigit() and any(str(file.readlink()) == wanted for file in (process / "fd").iterdir()):
                return int(process.name)
    return 0


def _listening(port: int) -> Iterator[tuple[int, str]]:
    """Owner's uid and socket inode of whoever listens on the port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), Path(table).open(encoding="ascii") as file:
            for listening, uid, inode in parse_listeners(file.read()):
                if listening == port:
                    yield uid, inode


def parse_lsof(text: str) -> tuple[int, str]:
    """The first process and its command in the output of `lsof -Fpc`; 0 where there is none."""
    fields = {line[:1]: line[1:] for line in reversed(text.splitlines())}
    return int(fields.get("p", 0)), fields.get("c", "")


def _on_mac(port: int) -> tuple[int, str]:
    """Of other users' processes a Mac tells nothing without root's rights."""
    return parse_lsof(run(["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"])[1])


def process_on(port: int) -> int:
    """The process that listens on the port; 0 where nobody does or it may not be seen."""
    if sys.platform == "darwin":
        return _on_mac(port)[0]
    return next((pid for _, inode in _listening(port) if (pid := _pid_of(inode))), 0)


def holder(port: int) -> str:
    """The process that listens on the port, in words; empty where nobody does."""
    if sys.platform == "darwin":
        process, name = _on_mac(port)
        return f"{name} (pid {process})" if process else ""
    for uid, inode in _listening(port):
        pid = _pid_of(inode)
        with contextlib.suppress(OSError):
            if pid:
                name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
                return f"{name} (pid {pid})"
        return f"a process of the user {_user(uid)}"
    return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
