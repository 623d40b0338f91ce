"""What a Mac is, in the words of gridtie_machine: from its own tools, without privileges."""

from __future__ import annotations

import os
import platform
from typing import Any

from .gridtie_host.machine.mac import ask, read_mac
from .gridtie_machine import describe_surroundings

# Docker's virtual machine has the Mac's own architecture, and images name that as Linux does.
_AS_LINUX = {"arm64": "aarch64"}


def parse_sw_vers(text: str) -> dict[str, str]:
    """The fields of `sw_vers` as those of an os-release file."""
    told = {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    version = told.get("ProductVersion", "")
    return {"id": "macos", "version": version, "codename": "", "name": f"macOS {version}".strip()}


def architecture(machine: str) -> str:
    """The processor, spelled as `uname -m` does on Linux."""
    return _AS_LINUX.get(machine, machine)


def describe(disk_paths: list[str]) -> dict[str, Any]:
    """As gridtie_machine.describe."""
    hardware = read_mac(ask)
    return {
        **describe_surroundings(disk_paths),
        "system": parse_sw_vers(ask(["sw_vers"])),
        "architecture": architecture(platform.machine()),
        "cpus": os.cpu_count() or 1,
        "memory": {"total": hardware.memory.total, "available": hardware.memory.available},
        "gpu_groups": [],
        "init": "launchd",
    }
