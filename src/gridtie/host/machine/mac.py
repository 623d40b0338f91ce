"""A Mac, from what its own tools print: `sysctl` and `vm_stat`. The parsing is pure; nothing else is read.

How much of the memory graphics may take is Metal's `recommendedMaxWorkingSetSize`, which only a program of Metal can
ask for. It follows from the size: two thirds below 36 GiB, three quarters from there on (as llama.cpp's logs show: 16
GiB 10.67, 24 GiB 16, 32 GiB 21.33, 36 GiB 27, 64 GiB 48), unless `iogpu.wired_limit_mb` was set by hand.
"""

from __future__ import annotations

import re
import subprocess
from typing import Callable, Sequence

from .bandwidth import apple_bandwidth
from .hardware import Hardware, Memory, Processor

GIB = 1 << 30
LARGE = 36 * GIB

NAMES = ("hw.memsize", "hw.ncpu", "machdep.cpu.brand_string", "iogpu.wired_limit_mb")


def read_mac(run: Callable[[Sequence[str]], str]) -> Hardware:
    """This Mac. `run` gives what a command prints. Raises OSError where sysctl does not tell the memory."""
    told = parse_sysctl(run(["sysctl", *NAMES]))
    if not told.get("hw.memsize", "").isdigit():
        raise OSError("sysctl does not tell hw.memsize")
    total = int(told["hw.memsize"])
    chip = told.get("machdep.cpu.brand_string", "unknown")
    set_by_hand = int(told.get("iogpu.wired_limit_mb") or 0) << 20
    return Hardware(
        processor=Processor(chip, int(told.get("hw.ncpu") or 1), ()),
        memory=Memory(total, min(total, parse_vm_stat(run(["vm_stat"])))),
        bandwidth=apple_bandwidth(chip),
        # Macs with Intel processors have no Metal that engines use well: they count as their main memory.
        metal_limit=(set_by_hand or metal_limit(total)) if chip.startswith("Apple ") else None,
    )


def metal_limit(total: int) -> int:
    """What graphics may take of `total` bytes when nobody set a limit."""
    return total * 3 // 4 if total >= LARGE else total * 2 // 3


def parse_sysctl(text: str) -> dict[str, str]:
    """`name: value` lines."""
    return {name: value for name, _, value in (line.partition(": ") for line in text.splitlines()) if value}


def parse_vm_stat(text: str) -> int:
    """Bytes that programs can get: free, speculative, inactive and purgeable pages. What a virtual machine of Docker
    holds is wired or active, so it does not count."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = {name: int(count) for name, count in re.findall(r"^Pages ([a-z ]+):\s+(\d+)\.", text, re.M)}
    wanted = ("free", "speculative", "inactive", "purgeable")
    return sum(pages.get(name, 0) for name in wanted) * (int(size.group(1)) if size else 16384)


def ask(command: Sequence[str]) -> str:
    """What a command of the system prints; nothing where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
