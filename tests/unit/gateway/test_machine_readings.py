"""What the machine's own service saw is among the metrics, and nothing old or foreign is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridtie.gateway import machine_readings
from gridtie.gateway.machine_readings import STALE_S, MachineReadings
from gridtie.host import readings
from gridtie.host.command import Ran
from standins.router import Station, routing, run
from standins.scripted import Upstream, whole

NOW = 1_000_000.0
PRINTED = "0, NVIDIA H200, 143771, 1024, 76.32, 34, 7\n"


def written(path: Path, now: float = NOW) -> Path:
    readings.put(path, readings.document(now, readings.cards(lambda _: Ran(0, PRINTED, "")), 5_000, 12.5))
    return path


def test_what_the_command_writes_is_what_the_router_reads(tmp_path: Path) -> None:
    assert machine_readings.FILE == readings.FILE
    found = {(name, labels): value for name, labels, value in MachineReadings(written(tmp_path / "r"), lambda: NOW)}

    card = ("0", "NVIDIA H200")
    assert found == {
        ("gridtie_engine_resident_bytes", ()): 5_000,
        ("gridtie_processor_joules", ()): 12.5,
        ("gridtie_card_memory_bytes", card): 143771 * 2**20,
        ("gridtie_card_memory_used_bytes", card): 2**30,
        ("gridtie_card_power_watts", card): 76.32,
        ("gridtie_card_temperature_celsius", card): 34.0,
        ("gridtie_card_busy_ratio", card): 0.07,
    }


@pytest.mark.parametrize("now", [NOW + STALE_S + 1, NOW - STALE_S - 1])
def test_what_is_old_is_not_told(tmp_path: Path, now: float) -> None:
    assert list(MachineReadings(written(tmp_path / "r"), lambda: now)) == []


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"time": "x"}', json.dumps({"time": NOW, "cards": [{"card": 1}]}), "9" * 70_000]
)
def test_what_is_something_else_is_not_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "r").write_text(content)

    assert list(MachineReadings(tmp_path / "r", lambda: NOW)) == []
    assert list(MachineReadings(tmp_path / "none", lambda: NOW)) == []


def test_cards_and_their_names_are_bounded(tmp_path: Path) -> None:
    """A thousand cards with names of a page each are no thousand series."""
    many: list[dict[str, Any]] = [{"card": str(at), "model": "m" * 500, "watts": 1.0} for at in range(100)]
    readings.put(tmp_path / "r", readings.document(NOW, many, None, None))
    found = list(MachineReadings(tmp_path / "r", lambda: NOW))

    assert len(found) == 64
    assert {len(text) for _, labels, _ in found for text in labels} <= {1, 2, 64}


def test_a_scrape_has_them(tmp_path: Path) -> None:
    async def ask() -> str:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            directory = station.router.ledger.directory
            readings.put(directory / readings.FILE, readings.document(machine_readings.time(), [], 5_000, None))
            return (await station.ask(path="/metrics", key=None)).body.decode()

    assert "gridtie_engine_resident_bytes 5000.0" in run(ask)
