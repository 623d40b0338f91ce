"""What the machine says of itself through /proc and /sys, which a container sees as its host does.

Memory always; temperature and watts where a driver shows them to everybody (hwmon: processors, AMD's and Intel's
cards). NVIDIA's cards tell theirs to `nvidia-smi` on the host alone, where a service of the machine asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gridtie.gateway.machine_readings import MachineReadings

_HWMON = "sys/class/hwmon"
# Drivers of processors and graphics cards, by the name that hwmon has for them.
_PROCESSORS = frozenset({"coretemp", "k10temp", "zenpower", "cpu_thermal"})
_CARDS = frozenset({"amdgpu", "i915", "xe"})


def look(readings: MachineReadings, root: Path = Path("/")) -> dict[str, Any]:
    """Bytes, degrees Celsius (of the hottest), watts (of all); what nothing shows is None. `readings`: of the host."""
    sensors = list(_sensors(root / _HWMON))
    cards = readings.cards()
    return {
        **_memory(root / "proc/meminfo"),
        "processor_celsius": max(_of(sensors, _PROCESSORS, "temp*_input", 1e3), default=None),
        "card_celsius": max(
            [*_of(sensors, _CARDS, "temp*_input", 1e3), *_known(card.celsius for card in cards)], default=None
        ),
        "card_watts": _sum(
            [
                *_drawn(sensors),
                *_known(card.watts for card in cards),
            ]
        ),
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


def _of(sensors: list[tuple[str, Path]], drivers: frozenset[str], files: str, unit: float) -> list[float]:
    """What these drivers show in files of a pattern, each counted in `unit` parts."""
    return [
        value / unit
        for name, place in sensors
        if name in drivers
        for path in place.glob(files)
        if (value := _number(path)) is not None
    ]


def _drawn(sensors: list[tuple[str, Path]]) -> Iterator[float]:
    """Watts of each card once: some drivers show the average and what is drawn at the moment, others one of both."""
    for sensor in sensors:
        yield from _of([sensor], _CARDS, "power1_average", 1e6) or _of([sensor], _CARDS, "power1_input", 1e6)


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _sum(values: list[float]) -> float | None:
    return sum(values) if values else None


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
