"""What the machine is: memory, processors, graphics cards, and an estimate of how fast its memory is.

Everything is read below a root directory, so that recorded trees of other machines can be tested. Sizes are bytes.
What cannot be read is None or absent, never guessed; bandwidth is always an estimate and says where it comes from.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Sequence

from ..gpu import INTEGRATED, Graphics, read_survey
from ..gpu.devices import narrowed
from .bandwidth import Bandwidth, dimm_bandwidth

# Memory that cgroup v1 reports where no limit is set (PAGE_COUNTER_MAX); real limits are far below.
_NO_LIMIT = 1 << 62


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
class Loaded:
    """A model that the engine holds now (Ollama's /api/ps): its size, and the part of it on graphics cards."""

    name: str
    size: int
    vram: int


@dataclass(frozen=True)
class Hardware:
    """One machine at one moment.

    `shared` is how much of main memory an AMD processor's own graphics may take at most (GTT). `metal_limit` is set on
    a Mac alone: how much of its memory graphics may take. `engine_memory` is main memory of the engine's idle models
    that the kernel does not count as available.
    """

    processor: Processor
    memory: Memory
    graphics: tuple[Graphics, ...] = ()
    bandwidth: Optional[Bandwidth] = None
    shared: Optional[int] = None
    metal_limit: Optional[int] = None
    loaded: tuple[Loaded, ...] = ()
    engine_memory: int = 0

    def as_document(self) -> dict[str, Any]:
        """What `gridtie fit --json` prints and `--machine` reads."""
        return asdict(self)


# What is not for the engine in Docker's virtual machine: the limit of the router's container. What its own system takes
# is within the margin that is kept free anyway.
BESIDE_ENGINE = 512 << 20


def in_docker(hardware: Hardware, total: int) -> Hardware:
    """What containers find of a machine whose Docker says that it has `total` bytes.

    Less than the machine has: it runs in a virtual machine (Docker Desktop, Colima, OrbStack), which is given no
    graphics. How much of its memory is in use cannot be seen from outside.
    """
    if not 0 < total < hardware.memory.total:
        return hardware
    memory = Memory(total, max(0, total - BESIDE_ENGINE), "Docker's virtual machine")
    return replace(hardware, memory=memory, graphics=(), shared=None, metal_limit=None)


class ProfileError(ValueError):
    """A recorded profile cannot be used; the message names the key."""


def from_document(document: Any) -> Hardware:
    """A recorded machine. Unknown keys of `hardware` are errors, and so is a missing one that has no default."""
    if isinstance(document, Mapping) and "hardware" in document:
        document = document["hardware"]
    return Hardware(
        **{
            **_known(Hardware, document, "hardware"),
            "processor": Processor(**_lists(_known(Processor, document.get("processor"), "processor"))),
            "memory": Memory(**_known(Memory, document.get("memory"), "memory")),
            "graphics": tuple(Graphics(**_known(Graphics, card, "graphics")) for card in document.get("graphics", ())),
            "loaded": tuple(Loaded(**_known(Loaded, model, "loaded")) for model in document.get("loaded", ())),
            "bandwidth": Bandwidth(**_known(Bandwidth, document["bandwidth"], "bandwidth"))
            if document.get("bandwidth")
            else None,
        }
    )


def _known(kind: Any, document: Any, where: str) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise ProfileError(f"{where}: a mapping was expected, this is {document!r:.60}")
    names = {field.name: field.default is MISSING for field in fields(kind)}
    for key in document:
        if key not in names:
            raise ProfileError(f"{where}.{key}: unknown key; known are {', '.join(sorted(names))}")
    for key, needed in names.items():
        if needed and key not in document:
            raise ProfileError(f"{where}.{key} is missing")
    return dict(document)


def _lists(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def no_report() -> str:
    """What a driver says that is not installed."""
    return ""


def read_hardware(
    root: Path = Path("/"),
    cpus: Optional[int] = None,
    driver_report: Callable[[], str] = no_report,
    devices: Sequence[str] = (),
) -> Hardware:
    """The machine below `root`. `cpus` is the number this process may use. Nothing is measured: the bandwidth is that
    of the memory modules, or None.

    `driver_report` is asked for nvidia-smi's figures only where such a card is there; on this machine that is
    `ask_nvidia_smi`. `devices` are the names of the cards that count, where not all do.

    Raises OSError where /proc cannot be read, and DeviceError for a name that no card has.
    """
    graphics = read_graphics(root, devices)
    if any(card.vendor == "NVIDIA" for card in graphics):
        reported = parse_nvidia_smi(driver_report())
        graphics = tuple(_with_report(card, reported) for card in graphics)
    return Hardware(
        processor=read_processor(root, cpus),
        memory=read_memory(root),
        graphics=graphics,
        bandwidth=dimm_bandwidth(root),
        shared=_shared(root, graphics),
        engine_memory=read_engine_memory(root),
    )


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
    """File cache that the kernel gives back before it kills anything; usage counts it.

    Both lists of it: what was read twice is on the active one, such as the weights of a model that ran before.
    """
    try:
        pairs = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return 0
    # Version 1 counts the groups below in figures of their own, as its usage does.
    return sum(int(pairs.get(f"total_{name}") or pairs.get(name) or 0) for name in ("active_file", "inactive_file"))


def read_graphics(root: Path, devices: Sequence[str] = ()) -> tuple[Graphics, ...]:
    """Every graphics card below `root` that computes: no management chips and no virtual displays. Those that are not
    among `devices` are left out of use, where it names any. Raises DeviceError."""
    return narrowed(read_survey(root), devices).graphics


def _shared(root: Path, graphics: tuple[Graphics, ...]) -> Optional[int]:
    """Main memory that the engine may take through an AMD processor's graphics: amdgpu's GTT, less what is used."""
    for card in graphics:
        if card.vendor == "AMD" and card.kind == INTEGRATED and card.usable_by_engine:
            device = root / "sys/bus/pci/devices" / card.address
            total, used = _number(device / "mem_info_gtt_total"), _number(device / "mem_info_gtt_used")
            return None if total is None else total - (used or 0)
    return None


def read_engine_memory(root: Path) -> int:
    """Private memory of llama.cpp's servers: caches and buffers. The weights are file pages, which the kernel already
    counts as available."""
    total = 0
    for process in (root / "proc").glob("[0-9]*"):
        if b"llama-server" in _bytes(process / "cmdline")[:512]:
            anonymous = re.search(r"^RssAnon:\s+(\d+) kB", _text(process / "status"), re.M)
            total += int(anonymous.group(1)) * 1024 if anonymous else 0
    return total


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


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _number(path: Path) -> Optional[int]:
    text = _text(path)
    return int(text) if text.isdigit() else None
