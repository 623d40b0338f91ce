"""Estimates of how fast memory is read, each with its source."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from gridtie.host.machine.bandwidth import (
    Bandwidth,
    apple_bandwidth,
    card_bandwidth,
    dimm_bandwidth,
    reading_bandwidth,
    within_cores,
)


def module(root: Path, number: int, rate: int = 3200, width: int = 64, size: int = 8192) -> None:
    """One entry of the firmware's list of memory modules."""
    raw = bytearray(0x22)
    struct.pack_into("<HH", raw, 0x0A, width, size)
    struct.pack_into("<H", raw, 0x20, rate)
    target = root / f"sys/firmware/dmi/entries/17-{number}/raw"
    target.parent.mkdir(parents=True)
    target.write_bytes(bytes(raw))


@pytest.mark.parametrize(
    ("modules", "gigabytes"),
    [
        ([(3200, 64)], 25.6),
        ([(3200, 64)] * 2, 51.2),
        ([(3200, 64)] * 4, 51.2),
        ([(6400, 16)] * 8, 102.4),
        ([(6400, 32), (5600, 32)], 44.8),
    ],
    ids=["one", "two", "four on two channels", "soldered", "mixed"],
)
def test_bandwidth_is_estimated_from_the_memory_modules(
    tmp_path: Path, modules: list[tuple[int, int]], gigabytes: float
) -> None:
    for number, (rate, width) in enumerate(modules):
        module(tmp_path, number, rate, width)
    module(tmp_path, 99, size=0)
    found = dimm_bandwidth(tmp_path)

    assert found and found.bytes_per_second == pytest.approx(gigabytes * 1e9 * 0.55)
    assert found.source.startswith("estimated from memory modules")


def test_many_cores_read_a_share_of_what_was_measured() -> None:
    found = within_cores(reading_bandwidth(40e9), cores=16)

    assert found.bytes_per_second == pytest.approx(40e9 * 0.65)
    assert found.source == "estimated from 40 GB/s that all cores read"


@pytest.mark.parametrize("memory", [Bandwidth(28e9, "modules"), None], ids=["faster memory", "memory of unknown speed"])
def test_two_cores_are_not_waiting_for_the_memory(memory: Bandwidth | None) -> None:
    found = within_cores(memory, cores=2)

    assert found == Bandwidth(12e9, "estimated from what 2 cores compute with, 6 GB/s each")


@pytest.mark.parametrize(
    ("vendor", "name", "gigabytes"),
    [
        ("NVIDIA", "GeForce RTX 4090", 1008),
        ("NVIDIA", "GeForce RTX 4060 Ti", 288),
        ("NVIDIA", "GeForce RTX 3060 8GB", 240),
        ("NVIDIA", "GeForce RTX 3060 Lite Hash Rate", 360),
        ("AMD", "Radeon RX 7900 XT/7900 XTX", 800),
        ("Intel", "Arc A770", 512),
    ],
)
def test_a_card_reads_at_its_makers_figure_and_the_engine_at_a_share_of_it(
    vendor: str, name: str, gigabytes: float
) -> None:
    found = card_bandwidth(vendor, name)

    assert found and found.bytes_per_second == pytest.approx(gigabytes * 1e9 * 0.55)
    assert found.source == f"estimated from {vendor}'s published {gigabytes} GB/s"


@pytest.mark.parametrize(
    ("vendor", "name"),
    [
        ("NVIDIA", "GeForce RTX 4090 Laptop GPU"),
        ("NVIDIA", "GeForce RTX 3070 Mobile / Max-Q"),
        ("NVIDIA", "GeForce GT 710"),
        ("ASPEED", "Graphics Family"),
        ("NVIDIA", ""),
    ],
)
def test_nothing_is_guessed_of_a_card_that_is_not_in_the_table(vendor: str, name: str) -> None:
    assert card_bandwidth(vendor, name) is None


def test_an_apple_chip_is_looked_up_by_its_whole_name() -> None:
    small, large, unknown = (apple_bandwidth(f"Apple {chip}") for chip in ("M2", "M2 Ultra", "M99"))

    assert small and large and large.bytes_per_second == 8 * small.bytes_per_second
    assert unknown is None
