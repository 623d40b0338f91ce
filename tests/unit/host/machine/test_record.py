"""What was found of a machine's speed stays until it is asked for anew, and then until it differs for a reason."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gridtie.host.machine.bandwidth import Bandwidth
from gridtie.host.machine.hardware import Hardware, Memory, Processor
from gridtie.host.machine.record import SpeedRecord, beside, steady_bandwidth

GIB = 1 << 30
MACHINE = Hardware(Processor("a processor", 16, ()), Memory(32 * GIB, 20 * GIB))


def reads(rate: float) -> Callable[[], float]:
    return lambda: rate


def unwanted() -> float:
    raise AssertionError("measured anew")


@pytest.fixture
def record(tmp_path: Path) -> SpeedRecord:
    return SpeedRecord(beside(tmp_path / "models.json"), write=True)


def test_the_first_figure_is_kept_and_nothing_is_measured_again(record: SpeedRecord) -> None:
    first = steady_bandwidth(MACHINE, record, reads(40e9))
    busier = replace(MACHINE, memory=Memory(32 * GIB, 3 * GIB))

    assert first.bytes_per_second == pytest.approx(26e9)
    assert steady_bandwidth(busier, record, unwanted) == first


def test_who_may_not_read_the_list_of_memory_modules_gets_the_figure_of_who_may(record: SpeedRecord) -> None:
    of_root = steady_bandwidth(replace(MACHINE, bandwidth=Bandwidth(28e9, "modules")), record, unwanted)

    assert steady_bandwidth(MACHINE, replace(record, write=False), unwanted) == of_root == Bandwidth(28e9, "modules")


def test_everybody_on_the_machine_may_read_the_figure_whatever_roots_umask_is(record: SpeedRecord) -> None:
    before = os.umask(0o077)
    try:
        steady_bandwidth(MACHINE, record, reads(40e9))
    finally:
        os.umask(before)

    assert stat.S_IMODE(record.path.stat().st_mode) == 0o644


def test_a_measurement_that_was_asked_for_changes_a_figure_only_beyond_chance(record: SpeedRecord) -> None:
    first = steady_bandwidth(MACHINE, record, reads(40e9))

    assert steady_bandwidth(MACHINE, record, reads(45e9), again=True) == first
    assert steady_bandwidth(MACHINE, record, reads(60e9), again=True).bytes_per_second == pytest.approx(39e9)
    assert steady_bandwidth(MACHINE, record, unwanted).bytes_per_second == pytest.approx(39e9)


@pytest.mark.parametrize(
    "other",
    [
        replace(MACHINE, processor=Processor("another", 16, ())),
        replace(MACHINE, processor=Processor("a processor", 8, ())),
        replace(MACHINE, memory=Memory(64 * GIB, 20 * GIB)),
    ],
    ids=["processor", "cores", "memory"],
)
def test_a_figure_of_another_machine_does_not_count(record: SpeedRecord, other: Hardware) -> None:
    steady_bandwidth(MACHINE, record, reads(40e9))

    assert steady_bandwidth(other, record, reads(20e9)).bytes_per_second == pytest.approx(13e9)


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 1}', '{"schema": 1, "machine": 7, "bandwidth": null}'])
def test_a_damaged_record_is_none(record: SpeedRecord, content: str) -> None:
    record.path.write_text(content)

    assert steady_bandwidth(MACHINE, record, reads(20e9)).bytes_per_second == pytest.approx(13e9)


def test_nothing_is_written_where_that_was_not_allowed_or_there_is_no_station(tmp_path: Path) -> None:
    for record in (SpeedRecord(tmp_path / "machine.json"), SpeedRecord(tmp_path / "etc" / "machine.json", write=True)):
        steady_bandwidth(MACHINE, record, reads(20e9))

        assert not record.path.exists()
    assert not (tmp_path / "etc").exists()


def test_where_nothing_can_be_measured_the_cores_are_the_limit() -> None:
    assert steady_bandwidth(MACHINE, None, lambda: None).bytes_per_second == 16 * 6e9
