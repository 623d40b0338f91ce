"""Whether a lock that is written at its usual place is there for the next run and for the other hosts."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

# Where an execution environment finds a copy of the project.
_RUNNER = Path("/runner")
_PULL = "ansible-pull"
# What ansible-galaxy writes into each collection.
_INSTALLED = "MANIFEST.json"


def not_kept(path: Path, usual: Path, *, local: bool) -> str:
    """Why the lock would be lost; "" where it is kept.

    A place that somebody named is believed to be shared and lasting, and need only be writable. `local` says that the
    host is the machine where the playbook runs: a container that is lost then takes the station with it, and a checkout
    that somebody tries below /tmp is one machine's own, whose digests no other is held to.
    """
    directory = path.parent
    if not os.access(directory, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        return f"{directory} cannot be written to" if directory.is_dir() else f"there is no directory {directory}"
    if path != usual:
        return ""
    there = directory.resolve()
    if not local and any(there.is_relative_to(place) for place in _temporary()):
        return f"{directory} is a temporary directory"
    if any((each / _INSTALLED).is_file() for each in (there, *there.parents)):
        return f"{directory} is part of an installed collection, which the next one takes the place of"
    if there.is_relative_to(_RUNNER):
        return f"{directory} is a copy in an execution environment, which is gone after the run"
    if _pulled(there):
        return "with ansible-pull every host would have a lock of its own"
    if not local and _in_container() and there.stat().st_dev == Path("/").stat().st_dev:
        return f"{directory} is part of a container, and gone with it"
    return ""


def _temporary() -> list[Path]:
    # Nothing is written there.
    places = (tempfile.gettempdir(), "/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108
    return [Path(place).resolve() for place in places]


def _in_container(root: Path = Path("/")) -> bool:
    """Whether files go with a container; a virtual machine that was made from an image keeps its disk."""
    marked = any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))
    return marked and not _whole_disk(root / "proc/self/mountinfo")


def _whole_disk(mounts: Path) -> bool:
    """Whether / is all of a disk's file system. A container's is laid over others, or a directory of one."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    # proc(5): the directory of the file system and where it is mounted; behind a dash its type and its disk.
    words = [line.split() for line in lines]
    roots = [line for line in words if len(line) > 5 and line[4] == "/"]
    return bool(roots) and roots[-1][3] == "/" and roots[-1][-2].startswith("/dev/")


def _pulled(directory: Path) -> bool:
    """Whether ansible-pull brought the inventory: its usual checkout, or it is what started this process."""
    return (".ansible", "pull") in itertools.pairwise(directory.parts) or _started_by(_PULL)


def _started_by(program: str) -> bool:
    """Whether a program of that name is among the processes that this one comes from; on Linux alone."""
    process = os.getppid()
    while process > 1:
        try:
            words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
            status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        if any(Path(word.decode(errors="replace")).name == program for word in words[:2]):
            return True
        process = int(status.rpartition(")")[2].split()[1])
    return False
