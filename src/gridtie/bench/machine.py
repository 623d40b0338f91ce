"""The machine that a benchmark runs on, for whoever reads its results."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gridtie.bench.results import Machine
from gridtie.host.command import run_command

_CARDS = ("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")


def this_machine(root: Path = Path("/")) -> Machine:
    """What can be seen of it without rights; what cannot is left empty."""
    cards = run_command(_CARDS)
    return Machine(
        processor=_found(root / "proc/cpuinfo", r"model name\s*:\s*(.+)"),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        memory_bytes=int(_found(root / "proc/meminfo", r"MemTotal:\s*(\d+)") or 0) * 1024,
        graphics=tuple(line.strip() for line in cards.out.splitlines() if line.strip()) if cards.status == 0 else (),
    )


def _found(path: Path, pattern: str) -> str:
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return ""
    return found[1].strip() if found else ""
