"""What /proc and /sys show of a machine, and nothing where they show nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path

from gridtie.gateway.dashboard.machine import look
from gridtie.gateway.machine_readings import MachineReadings

NOTHING = MachineReadings(Path("/none"))


def sensor(root: Path, number: int, name: str, **files: int) -> None:
    place = root / f"sys/class/hwmon/hwmon{number}"
    place.mkdir(parents=True)
    (place / "name").write_text(f"{name}\n")
    for file, value in files.items():
        (place / file).write_text(f"{value}\n")


def test_memory_temperatures_and_watts_are_read(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  1024 kB\nMemFree: 1 kB\nMemAvailable:  512 kB\n")
    sensor(tmp_path, 0, "coretemp", temp1_input=61000, temp2_input=58000)
    sensor(tmp_path, 1, "amdgpu", temp1_input=71500, power1_average=182_000_000)
    sensor(tmp_path, 2, "nvme", temp1_input=99000)

    assert look(NOTHING, tmp_path) == {
        "memory_bytes": 1024 * 1024,
        "available_bytes": 512 * 1024,
        "processor_celsius": 61.0,
        "card_celsius": 71.5,
        "card_watts": 182.0,
    }


def test_a_machine_that_shows_nothing_is_not_guessed(tmp_path: Path) -> None:
    assert set(look(NOTHING, tmp_path).values()) == {None}


def test_cards_that_the_machines_service_has_read_count_beside_those_of_drivers(tmp_path: Path) -> None:
    cards = [{"card": "0", "model": "A", "watts": 70.5, "celsius": 64.0}, {"card": "1", "model": "A", "watts": 20.0}]
    (tmp_path / "readings.json").write_text(json.dumps({"time": time.time(), "cards": cards}))
    sensor(tmp_path, 1, "amdgpu", temp1_input=51000, power1_input=30_000_000)

    found = look(MachineReadings(tmp_path / "readings.json"), tmp_path)

    assert (found["card_celsius"], found["card_watts"]) == (64.0, 120.5)


def test_a_card_that_shows_its_watts_in_two_ways_counts_once(tmp_path: Path) -> None:
    """AMD's driver shows some cards' average and what they draw at the moment."""
    sensor(tmp_path, 0, "amdgpu", power1_average=20_000_000, power1_input=22_000_000)
    sensor(tmp_path, 1, "amdgpu", power1_input=5_000_000)

    assert look(NOTHING, tmp_path)["card_watts"] == 25.0
