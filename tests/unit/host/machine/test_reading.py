"""Measured reading: what counts of many passes, and how much memory it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.host.machine.reading import best, cache_size, measure_reading

MIB = 1 << 20


def test_the_best_hundredth_counts_so_that_neither_a_busy_minute_nor_one_odd_pass_does() -> None:
    undisturbed, disturbed = [25e9] * 20, [11e9] * 979

    assert best([*disturbed, *undisturbed, 90e9]) == 25e9


def test_of_no_pass_nothing_is_said() -> None:
    assert best([]) == 0.0


def test_all_processors_read_and_their_rates_are_added_up() -> None:
    """On any machine memory is read at more than a hundredth of a GB/s; how fast is not the matter here."""
    found = measure_reading([0, 0], caches=0, available=64 * MIB, seconds=0.02)

    assert found is not None and found > 1e7


@pytest.mark.parametrize(
    ("caches", "available"),
    [(0, 7 * MIB), (96 * MIB, 8 * 128 * MIB)],
    ids=["no memory to spare", "what can be spared is hardly more than the caches"],
)
def test_nothing_is_measured_where_it_would_be_the_caches(caches: int, available: int) -> None:
    assert measure_reading([0], caches, available, seconds=0.01) is None


def test_last_caches_that_processors_share_count_once(tmp_path: Path) -> None:
    for cpu, shared in enumerate(("0-1", "0-1", "2-3", "2-3")):
        index = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cache/index3"
        index.mkdir(parents=True)
        (index / "size").write_text("32768K\n")
        (index / "shared_cpu_list").write_text(shared + "\n")

    assert cache_size(tmp_path) == 64 * MIB
    assert cache_size(tmp_path / "nowhere") == 0
