"""What the machine shows of its graphics cards, its processors' energy and the engine's memory, for the router.

The router's container sees neither cards nor other processes. So a service of the machine looks, and puts what it sees
into a file where the router reads it (`gateway/machine_readings.py`).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Callable, Optional

from .command import Ran, run_command
from .json_file import write_json

FILE = "readings.json"
SCHEMA = 1
# Seconds between two looks, each of which takes some hundredths of a second of a core.
EVERY_S = 10.0

# In the order of `_card`. `--help-query-gpu` has what each means; memory is in MiB.
_QUERY = "index,name,memory.total,memory.used,power.draw,temperature.gpu,utilization.gpu"
_NVIDIA_SMI = ("nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits")


def cards(run: Callable[..., Ran] = run_command) -> list[dict[str, Any]]:
    """NVIDIA's cards: bytes, watts, degrees Celsius, and the share of the last moments in which each computed.

    None stands for what a card has no sensor for; there are no cards where `nvidia-smi` is not there or fails.
    """
    ran = run(_NVIDIA_SMI)
    if ran.status != 0:
        return []
    rows = csv.reader(ran.out.splitlines(), skipinitialspace=True)
    return [_card(*row) for row in rows if len(row) == len(_QUERY.split(","))]


def _card(index: str, name: str, total: str, used: str, watts: str, celsius: str, busy: str) -> dict[str, Any]:
    return {
        "card": index,
        "model": name,
        "memory_bytes": _number(total, 1024 * 1024),
        "used_bytes": _number(used, 1024 * 1024),
        "watts": _number(watts),
        "celsius": _number(celsius),
        "busy": _number(busy, 0.01),
    }


def _number(text: str, unit: float = 1) -> Optional[float]:
    """None for "[N/A]", "[Not Supported]" and the like."""
    try:
        return float(text) * unit
    except ValueError:
        return None


def document(
    now: float, seen: list[dict[str, Any]], engine_bytes: Optional[int], joules: Optional[float]
) -> dict[str, Any]:
    """What the file says. `now` is Unix time, `joules` what the processors used since readings began."""
    return {"schema": SCHEMA, "time": now, "cards": seen, "engine_bytes": engine_bytes, "processor_joules": joules}


def put(path: Path, readings: dict[str, Any]) -> None:
    """Replace the file at once, readable to everybody. Raises OSError."""
    write_json(path, readings, 0o644)
