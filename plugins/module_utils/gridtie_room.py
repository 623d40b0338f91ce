"""What a machine has room for: what models are chosen by, for one station and for a group."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from .gridtie_host.gpu.devices import asked
from .gridtie_host.machine.detect import this_machine
from .gridtie_host.machine.hardware import Hardware, in_docker
from .gridtie_host.machine.record import SpeedRecord, beside


def hardware(catalogue_json: str, docker_memory: int, *, again: bool, write: bool, devices: Any) -> Hardware:
    """What the engine finds; its container perhaps in a virtual machine of Docker, of so much memory (0: no container).

    How fast the memory is comes from the record beside the host's catalogue; it is measured where that has none, or
    ``again``. ``devices`` is gridtie_gpu_devices: of other cards nothing counts. Raises OSError where the system does
    not tell, and DeviceError for a card that is not there.
    """
    kept = record(catalogue_json)
    found = this_machine(kept and replace(kept, write=write), again, asked(devices))
    return in_docker(found, docker_memory)


def record(catalogue_json: str) -> Optional[SpeedRecord]:
    """Where it is written down how fast this machine's memory is; nowhere without the host's catalogue."""
    return SpeedRecord(beside(Path(catalogue_json)), write=True) if catalogue_json else None
