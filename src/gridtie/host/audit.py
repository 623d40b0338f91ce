"""Who changed keys and configuration, when and how: JSON lines that are only added to, without any secret.

Two logs, since the router is a user who may not write where root does: what is done on the host, below the
configuration, and what the router took up, beside its ledger. `gridtie audit` shows both.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import stat
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping

from .directory_lock import alone_in

FILE = "audit.jsonl"
# A line has some 300 bytes, so that thousands of changes are kept: the file itself and so many before it.
MOST_BYTES = 1024 * 1024
KEPT = 4


def of_host(config_dir: Path) -> Path:
    """The directory of the log of what is done on the host."""
    return config_dir / "audit"


def of_router(state_dir: Path) -> Path:
    """The directory of the log of what the router took up."""
    return state_dir / "ledger"


def note(directory: Path, what: str, through: str = "gridtie", **detail: Any) -> None:
    """Add one line. `through` is what made the change: gridtie, ansible or router. Raises OSError."""
    directory.mkdir(mode=0o700, exist_ok=True)
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "what": what, **detail, **_who(), "by": through}
    # Two at once would turn the file over twice.
    with alone_in(directory):
        path = directory / FILE
        _turn(path)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            size = os.fstat(handle).st_size
            # Behind one that was cut off this one would be lost as well.
            begin = b"\n" if size and os.pread(handle, 1, size - 1) != b"\n" else b""
            os.write(handle, begin + json.dumps(line).encode() + b"\n")
        finally:
            os.close(handle)


def read(directory: Path) -> List[Dict[str, Any]]:
    """Every line that is kept, the oldest first; one that was cut off by the loss of power is passed over.

    Raises OSError where they may not be read.
    """
    if not directory.exists():
        return []
    found: List[Dict[str, Any]] = []
    for path in [*(_numbered(directory / FILE, number) for number in range(KEPT, 0, -1)), directory / FILE]:
        with contextlib.suppress(FileNotFoundError):
            found += _lines(_text(path))
    return found


def _text(path: Path) -> str:
    """What is no plain file, or larger than ours, is not read: root reads what is in a directory of the router's."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        with open(handle, encoding="utf-8", errors="replace", closefd=False) as file:
            return file.read(2 * MOST_BYTES)
    finally:
        os.close(handle)


def _lines(text: str) -> Iterator[Dict[str, Any]]:
    for line in text.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            content = json.loads(line)
            if isinstance(content, dict):
                yield content


def _who() -> Mapping[str, Any]:
    """The user, and who became it by sudo."""
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = ""
    return {"uid": uid, "user": user, "sudo_user": os.environ.get("SUDO_USER", "")}


def _turn(path: Path) -> None:
    """Begin a new file where this one is full; the oldest goes."""
    if not path.exists() or path.stat().st_size < MOST_BYTES:
        return
    for number in range(KEPT, 1, -1):
        with contextlib.suppress(FileNotFoundError):
            _numbered(path, number - 1).replace(_numbered(path, number))
    path.replace(_numbered(path, 1))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
