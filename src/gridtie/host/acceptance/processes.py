"""Memory of the process that serves a model file, as the kernel tells it."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

PROC = Path("/proc")


def resident_of(file: str, proc: Path = PROC) -> Optional[int]:
    """Resident bytes of the process that was started with this model file.

    Found by the file's name, its digest, so that it does not matter which name a container has for its directory. None
    where no such process is to be seen (another machine's kernel, as Docker Desktop's; no right to look) or several
    are, of which nobody can tell which is meant.
    """
    name = file.rpartition("/")[2]
    found = [_resident(directory) for directory in proc.glob("[0-9]*") if name and _serves(directory, name)]
    return found[0] if len(found) == 1 else None


def _serves(directory: Path, name: str) -> bool:
    words = _read(directory / "cmdline").split("\0")
    return any(word.endswith("/" + name) for word in words)


def _resident(directory: Path) -> int:
    fields = dict(line.split(":", 1) for line in _read(directory / "status").splitlines() if ":" in line)
    return int(fields.get("VmRSS", "0").split()[0]) * 1024


def _read(path: Path) -> str:
    """Nothing of a process that has ended, or whose owner lets nobody look."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
