"""This machine's hardware, on Linux and on a Mac."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Optional, Sequence

from .hardware import Hardware, Memory, ask_nvidia_smi, read_hardware
from .mac import ask, read_mac
from .reading import cache_size, measure_reading
from .record import SpeedRecord, steady_bandwidth


def this_machine(
    record: Optional[SpeedRecord] = None, measure_again: bool = False, devices: Sequence[str] = ()
) -> Hardware:
    """What this process may use. How fast memory is comes from the `record`; it is measured, for 2 s, where the record
    does not have it or `measure_again` is set. `devices` name the graphics cards that count, where not all do.

    Raises OSError where the system does not tell, and DeviceError for a name that no card has.
    """
    if sys.platform == "darwin":
        return read_mac(ask)
    cpus = sorted(os.sched_getaffinity(0))
    found = read_hardware(cpus=len(cpus), driver_report=ask_nvidia_smi, devices=devices)
    bandwidth = steady_bandwidth(found, record, lambda: _measure(cpus, found.memory), measure_again)
    return replace(found, bandwidth=bandwidth)


def _measure(cpus: list[int], memory: Memory) -> Optional[float]:
    return measure_reading(cpus, cache_size(Path("/")), memory.available)
