"""This machine's hardware, on Linux and on a Mac."""

from __future__ import annotations

import os
import sys

from .hardware import Hardware, ask_nvidia_smi, read_hardware
from .mac import ask, read_mac


def this_machine() -> Hardware:
    """What this process may use. Raises OSError where the system does not tell."""
    if sys.platform == "darwin":
        return read_mac(ask)
    return read_hardware(cpus=len(os.sched_getaffinity(0)), driver_report=ask_nvidia_smi)
