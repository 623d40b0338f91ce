"""Where a benchmark ran, as far as anybody may see it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gridtie.bench.machine import this_machine


@pytest.fixture(autouse=True)
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two cards."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho NVIDIA A\necho NVIDIA B\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")


def test_processor_memory_and_cards_are_named(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16384 kB\nMemFree: 1 kB\n")
    found = this_machine(tmp_path)

    assert (found.processor, found.memory_bytes, found.graphics) == (
        "Some CPU @ 3 GHz",
        16 << 20,
        ("NVIDIA A", "NVIDIA B"),
    )
    assert found.cores >= 1


def test_what_cannot_be_read_is_left_empty(tmp_path: Path) -> None:
    found = this_machine(tmp_path / "nothing")

    assert (found.processor, found.memory_bytes) == ("", 0)
