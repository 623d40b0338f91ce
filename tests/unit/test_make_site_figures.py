"""The kernel's account of processes, as the benchmark of `make site` sums it up."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/make_site.py, which stands beside what it imports."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("make_site", BENCHMARKS / "make_site.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make_site", module)
    spec.loader.exec_module(module)
    return module


def record(name: str, user: int, system: int) -> bytes:
    """One process of 64 bytes, with its times as the kernel writes them."""
    head = struct.pack("<BBH6If", 0, 3, 0, 0, 0, 0, 7, 1, 0, 1.5)
    return head + struct.pack("<8H16s", user, system, 0, 0, 0, 0, 0, 0, name.encode())


def test_what_processes_of_one_name_took_is_summed_up_in_seconds(benchmark: ModuleType) -> None:
    told = record("go", 150, 50) + record("dpkg", 30, 0) + record("go", 100, 0)

    assert benchmark.by_program(told) == {"go": 3.0, "dpkg": 0.3}


def test_a_long_process_is_told_by_an_exponent_to_the_base_eight(benchmark: ModuleType) -> None:
    assert benchmark.by_program(record("cc1", 0b010_0000001100100, 0)) == {"cc1": 64.0}


def test_a_record_that_is_not_written_to_its_end_is_left_out(benchmark: ModuleType) -> None:
    assert benchmark.by_program(record("go", 100, 0) + record("go", 100, 0)[:20]) == {"go": 1.0}
