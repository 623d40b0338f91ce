"""Memory of the process that serves a model file, as the kernel tells it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from .memory import MIB, PROMPT_CACHE

PROC = Path("/proc")
# How many MiB of prompts a server keeps for reuse (llama.cpp).
_CACHE_VARIABLE = "LLAMA_ARG_CACHE_RAM"


@dataclass(frozen=True)
class Process:
    """Resident bytes, of which up to `prompt_cache` are prompts that are kept for reuse."""

    resident: int
    prompt_cache: int = PROMPT_CACHE


def serving(file: str, proc: Path = PROC) -> Optional[Process]:
    """The process that was started with this model file.

    Found by the file's name, its digest, so that it does not matter which name a container has for its directory. None
    where no such process is to be seen (another machine's kernel, as Docker Desktop's; no right to look) or several
    are, of which nobody can tell which is meant.
    """
    name = file.rpartition("/")[2]
    found = [directory for directory in proc.glob("[0-9]*") if name and _serves(directory, name)]
    return _looked_at(found[0]) if len(found) == 1 else None


def _serves(directory: Path, name: str) -> bool:
    words = _read(directory / "cmdline").split("\0")
    return any(word.endswith("/" + name) for word in words)


def _looked_at(directory: Path) -> Process:
    status = dict(line.split(":", 1) for line in _read(directory / "status").splitlines() if ":" in line)
    environment = dict(pair.split("=", 1) for pair in _read(directory / "environ").split("\0") if "=" in pair)
    cache = environment.get(_CACHE_VARIABLE, "")
    # Less than nothing is llama.cpp's word for no limit.
    most = int(cache) * MIB if cache.isdigit() else PROMPT_CACHE
    return Process(int(status.get("VmRSS", "0").split()[0]) * 1024, most)


def _read(path: Path) -> str:
    """Nothing of a process that has ended, or whose owner lets nobody look."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
