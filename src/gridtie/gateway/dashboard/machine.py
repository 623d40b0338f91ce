"""What the machine says of itself through /proc and /sys, which a container sees as its host does.

Memory always; temperature and watts where a driver shows them to everybody (hwmon: processors, AMD's and Intel's
cards). NVIDIA's cards tell theirs to `nvidia-smi` on the host alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HWMON = "sys/class/hwmon"
# Drivers of processors and graphics cards, by the name that hwmon has for them.
_PROCESSORS = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal"})
_CARDS = frozenset({"amdgpu", "i915", "xe"})


def look(root: Path = Path("/")) -> dict[str, Any]:
    """Bytes, degrees Celsius, watts; what nothing shows is None."""
    sensors = list(_sensors(root / _HWMON))
    return {
        **_memory(root / "proc/meminfo"),
        "processor_celsius": _most(sensors, _PROCESSORS, "temp"),
        "card_celsius": _most(sensors, _CARDS, "temp"),
        "card_watts": _sum(sensors, _CARDS),
    }


def _memory(path: Path) -> dict[str, int | None]:
    try:
        text = path.read_text()
    except OSError:
        text = ""
    found = {name: int(kib) * 1024 for name, kib in re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", text, re.M)}
    return {"memory_bytes": found.get("MemTotal"), "available_bytes": found.get("MemAvailable")}


def _sensors(directory: Path) -> Iterator[tuple[str, Path]]:
    """Drivers and where they show what they measure."""
    for place in sorted(directory.glob("hwmon*")):
        try:
            name = (place / "name").read_text().strip()
        except OSError:
            continue
        yield name, place


def _most(sensors: list[tuple[str, Path]], drivers: frozenset[str], kind: str) -> float | None:
    readings = [
        value / 1e3
        for name, place in sensors
        if name in drivers
        for path in place.glob(f"{kind}*_input")
        if (value := _number(path)) is not None
    ]
    return max(readings, default=None)


def _sum(sensors: list[tuple[str, Path]], drivers: frozenset[str]) -> float | None:
    readings = [
        value / 1e6
        for name, place in sensors
        if name in drivers
        for path in (place / "power1_average", place / "power1_input")
        if (value := _number(path)) is not None
    ]
    return sum(readings) if readings else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
