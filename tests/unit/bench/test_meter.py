"""What samples of a machine say about a block."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridtie.bench.meter import FileMeter, used
from gridtie.host.meter import Sample


def test_memory_is_the_most_that_was_seen_meanwhile() -> None:
    samples = [Sample(0, 900), Sample(100, 100), Sample(105, 300), Sample(110, 200), Sample(500, 999)]

    assert used(samples, 100, 110).resident_bytes == 300


def test_a_counters_joules_are_drawn_evenly_between_samples() -> None:
    samples = [Sample(100, joules=1000.0), Sample(105, joules=1100.0), Sample(110, joules=1200.0)]

    assert used(samples, 102, 108).processor_joules == pytest.approx(6 * 20)


def test_drawn_power_becomes_joules_over_the_time() -> None:
    samples = [Sample(100, watts=200.0), Sample(105, watts=300.0)]

    assert used(samples, 100, 108).graphics_joules == pytest.approx(250 * 8)


def test_what_nothing_counts_is_not_known() -> None:
    assert used([], 100, 110) == used([Sample(105)], 100, 110)
    assert used([Sample(105, joules=5.0)], 100, 110).processor_joules is None


def test_a_hosts_samples_come_by_a_file_whose_last_line_may_be_half_written(tmp_path: Path) -> None:
    lines = [json.dumps(Sample(float(at), at).document()) for at in range(3)]
    path = tmp_path / "meter.jsonl"
    path.write_text("\n".join(lines)[:-4])

    assert [each.resident for each in FileMeter(path).samples()] == [0, 1]
    assert not FileMeter(tmp_path / "none").samples()
