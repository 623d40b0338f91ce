"""What the machine is: memory, processors, graphics cards, and an estimate of how fast its memory is.

Everything is read below a root directory, so that recorded trees of other machines can be tested. Sizes are bytes.
What cannot be read is None or absent, never guessed; bandwidth is always an estimate and says where it comes from.
"""

from __future__ import annotations

import struct
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

from .choice import Room
from .fit import GPU_CONTEXT, MARGIN
from .gpu import Graphics, read_survey

# The share of what memory modules can do that llama.cpp's generation reaches on a CPU (llmfit's measured 0.55).
ENGINE_SHARE_OF_PEAK = 0.55
# Of what one core copies (reads and writes counted), generation on all cores read 0.6 with SmolLM2 on two cores.
ENGINE_SHARE_OF_COPY = 0.6

# Memory that cgroup v1 reports where no limit is set (PAGE_COUNTER_MAX); real limits are far below.
_NO_LIMIT = 1 << 62
_DMI_MEMORY_DEVICE = 17


@dataclass(frozen=True)
class Processor:
    """Model name, processors that may be used, and the vector extensions that llama.cpp makes use of."""

    model: str
    count: int
    extensions: tuple[str, ...]


@dataclass(frozen=True)
class Memory:
    """What processes here may use: the machine's memory, or the control group's limit where that is lower."""

    total: int
    available: int
    limited_by: str = ""


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second that the engine can be expected to read from memory: an estimate, with its source."""

    bytes_per_second: float
    source: str


@dataclass(frozen=True)
class Hardware:
    processor: Processor
    memory: Memory
    graphics: tuple[Graphics, ...] = ()
    bandwidth: Optional[Bandwidth] = None

    def as_document(self) -> dict[str, Any]:
        return asdict(self)


def no_report() -> str:
    """What a driver says that is not installed."""
    return ""


def read_hardware(
    root: Path = Path("/"),
    cpus: Optional[int] = None,
    measure: bool = True,
    driver_report: Callable[[], str] = no_report,
) -> Hardware:
    """The machine below `root`. `cpus` is the number this process may use; `measure` allows a copy of some ms.

    `driver_report` is asked for nvidia-smi's figures only where such a card is there; on this machine that is
    `ask_nvidia_smi`.

    Raises OSError where /proc cannot be read.
    """
    bandwidth = dimm_bandwidth(root)
    if bandwidth is None and measure:
        bandwidth = measured_bandwidth()
    graphics = read_graphics(root)
    if any(card.vendor == "NVIDIA" for card in graphics):
        reported = parse_nvidia_smi(driver_report())
        graphics = tuple(_with_report(card, reported) for card in graphics)
    return Hardware(read_processor(root, cpus), read_memory(root), graphics, bandwidth)


def room_in_memory(hardware: Hardware) -> Room:
    """The room for models in main memory: what is available, less the margin that llama.cpp keeps as well."""
    memory, bandwidth = hardware.memory, hardware.bandwidth
    return Room(
        name="memory",
        total=memory.total,
        available=max(0, memory.available - MARGIN),
        bandwidth=bandwidth.bytes_per_second if bandwidth else None,
        bandwidth_source=bandwidth.source if bandwidth else "",
    )


def room_on_graphics(card: Graphics) -> Optional[Room]:
    """The room on a card whose memory is known, less margin and driver context. None where it is not known."""
    if card.memory is None:
        return None
    free = card.memory if card.free is None else card.free
    return Room(f"{card.vendor} graphics memory", card.memory, max(0, free - MARGIN - GPU_CONTEXT))


def read_processor(root: Path, cpus: Optional[int] = None) -> Processor:
    text = (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    fields = [line.split(":", 1) for line in text.splitlines() if ":" in line]
    values: dict[str, str] = {}
    for key, value in fields:
        values.setdefault(key.strip(), value.strip())
    flags = set((values.get("flags") or values.get("Features") or "").split())
    known = ("avx", "avx2", "f16c", "fma", "avx512f", "avx512_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")
    listed = sum(1 for key, _ in fields if key.strip() == "processor")
    return Processor(values.get("model name", "unknown"), cpus or listed, tuple(f for f in known if f in flags))


def read_memory(root: Path) -> Memory:
    """Total and available memory, cut to the tightest control group around this process."""
    info = {}
    for line in (root / "proc/meminfo").read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        info[key] = int(value.split()[0]) * 1024
    memory = Memory(info["MemTotal"], info.get("MemAvailable", info["MemFree"]))
    for group in _memory_groups(root):
        memory = _limited(memory, group)
    return memory


def _memory_groups(root: Path) -> list[Path]:
    """The directories of this process's memory control group and of all above it (v1 and v2)."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    groups: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        inner = Path(path.lstrip("/"))
        # A container sees the host's path but has its own group mounted at the top: missing directories are normal.
        groups += [mount / part for part in (inner, *inner.parents)]
    return groups


def _limited(memory: Memory, group: Path) -> Memory:
    for limit_file, usage_file in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit = _number(group / limit_file)
        if limit is None or limit >= min(memory.total, _NO_LIMIT):
            continue
        used = (_number(group / usage_file) or 0) - _reclaimable(group)
        return Memory(limit, min(memory.available, max(0, limit - max(0, used))), f"control group {group.name or '/'}")
    return memory


def _reclaimable(group: Path) -> int:
    """File cache that the kernel gives back before it kills anything; usage counts it."""
    try:
        pairs = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return 0
    return int(pairs.get("total_inactive_file") or pairs.get("inactive_file") or 0)


def read_graphics(root: Path) -> tuple[Graphics, ...]:
    """Every graphics card below `root` that computes: no management chips and no virtual displays."""
    return read_survey(root).graphics


def ask_nvidia_smi() -> str:
    """Memory of NVIDIA cards from the driver's own tool, as `parse_nvidia_smi` reads it; empty where it cannot tell."""
    query = "--query-gpu=pci.bus_id,memory.total,memory.free"
    try:
        done = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _with_report(card: Graphics, reported: dict[str, tuple[int, int]]) -> Graphics:
    if card.address not in reported:
        return card
    total, free = reported[card.address]
    return replace(card, memory=total, free=free)


def parse_nvidia_smi(text: str) -> dict[str, tuple[int, int]]:
    """`nvidia-smi --query-gpu=pci.bus_id,memory.total,memory.free --format=csv,noheader,nounits` as bytes by address.

    Lines whose figures are "[N/A]" (cards that share the machine's memory) are left out.
    """
    found = {}
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
            address = parts[0].lower()[-12:]
            found[address] = (int(parts[1]) << 20, int(parts[2]) << 20)
    return found


def dimm_bandwidth(root: Path) -> Optional[Bandwidth]:
    """From the firmware's list of memory modules (DMI type 17; readable to root only). None where there is none."""
    speeds = []
    for entry in sorted((root / "sys/firmware/dmi/entries").glob(f"{_DMI_MEMORY_DEVICE}-*")):
        try:
            raw = (entry / "raw").read_bytes()
        except OSError:
            return None
        module = _memory_module(raw)
        if module:
            speeds.append(module)
    if not speeds:
        return None
    # Modules that share a channel do not add up and the table does not name channels, so 128 bits are counted: two
    # channels, which is what laptops and desktops have; on servers the estimate stays on the low side.
    rate = min(rate for rate, _ in speeds)
    width = min(128, sum(width for _, width in speeds))
    peak = width / 8 * rate * 1e6
    return Bandwidth(peak * ENGINE_SHARE_OF_PEAK, f"estimated from memory modules at {rate} MT/s, {width} bits wide")


def _memory_module(raw: bytes) -> Optional[tuple[int, int]]:
    """(transfers a second in millions, data width in bits) of a populated slot (SMBIOS 3, structure type 17)."""
    if len(raw) < 0x22:
        return None
    width, size = struct.unpack_from("<HH", raw, 0x0A)
    configured = struct.unpack_from("<H", raw, 0x20)[0] or struct.unpack_from("<H", raw, 0x15)[0]
    if size in (0, 0xFFFF) or configured in (0, 0xFFFF) or width in (0, 0xFFFF):
        return None
    return configured, width


def measured_bandwidth(clock: Callable[[], float] = time.perf_counter, size: int = 64 << 20) -> Bandwidth:
    """One core copies 64 MiB (more than caches hold) eight times; the best counts, so that what else runs matters
    less. Takes some 100 ms."""
    source, target = bytearray(size), bytearray(size)
    best = float("inf")
    for _ in range(8):
        started = clock()
        target[:] = source
        best = min(best, clock() - started)
    traffic = 2 * size / max(best, 1e-9)
    return Bandwidth(traffic * ENGINE_SHARE_OF_COPY, f"estimated from a copy by one core ({traffic / 1e9:.0f} GB/s)")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> Optional[int]:
    text = _text(path)
    return int(text) if text.isdigit() else None
