"""The graphics devices of the PCI bus, named and put into their kind, from sysfs below a root directory.

PCI class 03 is what draws (VGA, 3D, other), class 12 a processing accelerator: AMD's MI300 series is one. The driver
that is bound is read; what it can do is judged in `assess.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from . import pci_ids
from .card import DISCRETE, INTEGRATED, MANAGEMENT, VIRTUAL, VULKAN, Graphics
from .chips import Chip, amd_backend, amd_chip, cuda_backend, intel_chip, nvidia_chip
from .tree import link_name, names, number, text

DEVICES = "sys/bus/pci/devices"
_DISPLAY, _ACCELERATOR = "0x03", "0x12"

_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_TABLES = {"NVIDIA": pci_ids.NVIDIA, "AMD": pci_ids.AMD, "Intel": pci_ids.INTEL}
_CHIPS = {"NVIDIA": nvidia_chip, "AMD": amd_chip, "Intel": intel_chip}

# A server's remote console. Ids from pci.ids; Matrox draws nothing else today.
_MANAGEMENT = {"0x1a03": "ASPEED", "0x102b": "Matrox", "0x19e5": "Huawei iBMC", "0x126f": "Silicon Motion"}
# AMD's ES1000, on servers of 2005 to 2012.
_AMD_MANAGEMENT = {"0x515e": "ES1000", "0x5969": "ES1000"}
# What a hypervisor shows its guest.
_VIRTUAL = {
    "0x1af4": "virtio", "0x1b36": "QXL", "0x1234": "QEMU", "0x15ad": "VMware", "0x1414": "Hyper-V",
    "0x80ee": "VirtualBox", "0x1013": "Cirrus", "0x1ab8": "Parallels", "0x1d0f": "Amazon EC2",
}  # fmt: skip


@dataclass(frozen=True)
class Named:
    """What pci.ids calls a device."""

    chip: str = ""
    product: str = ""


@dataclass(frozen=True)
class KernelNode:
    """What AMD's compute driver says of a card: LLVM target, whether it has processors too, and its own name."""

    target: str
    integrated: bool
    uuid: str


def look_up(vendor: str, device: str) -> Named:
    """Chip and product of a device id such as 0x2204."""
    found = re.search(rf"^{re.escape(device[2:].lower())}\|([^|\n]*)\|(.*)$", _TABLES[vendor], re.M)
    return Named(*found.groups()) if found else Named()


def read_cards(root: Path) -> tuple[Graphics, ...]:
    """Every display controller and accelerator below `root`, by address; without the driver's judgement."""
    cards = []
    for address in names(root / DEVICES):
        device = root / DEVICES / address
        if not text(device / "class").startswith((_DISPLAY, _ACCELERATOR)):
            continue
        # A virtual function (SR-IOV) is a slice of a card that is listed itself.
        if not (device / "physfn").exists():
            card = _card(root, device)
            cards += [card] if card else []
    return tuple(cards)


def _card(root: Path, path: Path) -> Optional[Graphics]:
    vendor_id, device = text(path / "vendor").lower(), text(path / "device").lower()
    driver = link_name(path / "driver")
    if vendor_id == "0x1002" and device in _AMD_MANAGEMENT:
        return Graphics("AMD", device, path.name, driver=driver, name=_AMD_MANAGEMENT[device], kind=MANAGEMENT)
    for kind, table in ((MANAGEMENT, _MANAGEMENT), (VIRTUAL, _VIRTUAL)):
        if vendor_id in table:
            return Graphics(table[vendor_id], device, path.name, driver=driver, kind=kind)
    if vendor_id not in _VENDORS:
        return None
    vendor = _VENDORS[vendor_id]
    named = look_up(vendor, device)
    kernel = _kfd_node(root, path.name) if vendor == "AMD" else None
    chip = _chip(vendor, named, kernel)
    total, used = number(path / "mem_info_vram_total"), number(path / "mem_info_vram_used")
    return Graphics(
        vendor=vendor,
        device=device,
        address=path.name,
        memory=total if vendor == "AMD" else _nvidia_memory(root, path.name),
        free=None if total is None or used is None else total - used,
        driver=driver,
        name=named.product or chip.name,
        kind=chip.kind,
        chip=chip.name,
        generation=chip.generation,
        target=chip.target,
        backend=_backend(vendor, chip),
        uuid=kernel.uuid if kernel else _nvidia_uuid(root, path.name),
    )


def _chip(vendor: str, named: Named, kernel: Optional[KernelNode]) -> Chip:
    if vendor == "NVIDIA":
        return nvidia_chip(named.chip)
    if vendor == "Intel":
        return intel_chip(named.chip)
    chip = amd_chip(named.chip, named.product)
    if kernel is None:
        return chip
    # The kernel knows the chip itself; for one that is younger than the table it is the only source.
    return Chip(chip.name, chip.generation, kernel.target, INTEGRATED if kernel.integrated else DISCRETE)


def _kfd_node(root: Path, address: str) -> Optional[KernelNode]:
    """The card at an address by AMD's compute driver; None where that does not have it.

    `location_id` is bus, device and function in 16 bits; `gfx_target_version` is 110001 for gfx1101; `unique_id` is 0
    where the chip has none.
    """
    domain, bus, slot, function = (int(part, 16) for part in re.split("[:.]", address))
    nodes = root / "sys/class/kfd/kfd/topology/nodes"
    for node in names(nodes):
        fields = dict(
            line.split(None, 1) for line in text(nodes / node / "properties").splitlines() if len(line.split()) == 2
        )
        version = int(fields.get("gfx_target_version", "0"))
        here = (domain, bus << 8 | slot << 3 | function)
        if version and (int(fields.get("domain", "0")), int(fields.get("location_id", "-1"))) == here:
            target = f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"
            own = int(fields.get("unique_id", "0"))
            return KernelNode(target, int(fields.get("cpu_cores_count", "0")) > 0, f"GPU-{own:016x}" if own else "")
    return None


def _backend(vendor: str, chip: Chip) -> str:
    if vendor == "NVIDIA":
        return cuda_backend(chip.target)
    if vendor == "AMD":
        # A chip that nobody knows is left to Vulkan, which asks the driver and not a list.
        return amd_backend(chip.target, chip.kind)
    return VULKAN if chip.kind == DISCRETE else ""


def _nvidia_uuid(root: Path, address: str) -> str:
    """As NVIDIA's driver names the card; empty while it is not loaded, and where it hides the name (GPU-????????)."""
    found = re.search(
        r"^GPU UUID:\s*(GPU-[0-9a-fA-F-]+)$", text(root / "proc/driver/nvidia/gpus" / address / "information"), re.M
    )
    return found.group(1) if found else ""


def _nvidia_memory(root: Path, address: str) -> Optional[int]:
    """Graphics memory as NVIDIA's driver names it in /proc, where the version does."""
    for line in text(root / "proc/driver/nvidia/gpus" / address / "information").splitlines():
        if line.startswith("Video Memory:"):
            amount, unit = line.split(":", 1)[1].split()[:2]
            return int(amount) << {"MB": 20, "MiB": 20, "GB": 30, "GiB": 30}[unit]
    return None
