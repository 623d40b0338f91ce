"""One graphics card or display chip, as every part of the project speaks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

# A card of its own; part of the processor, which shares its memory; a server's remote console; a hypervisor's picture.
DISCRETE, INTEGRATED, MANAGEMENT, VIRTUAL = "discrete", "integrated", "management", "virtual"

# The libraries by which the engine computes on a card. No entry for the CPU: that is the absence of all of them.
CUDA, ROCM, VULKAN = "cuda", "rocm", "vulkan"


@dataclass(frozen=True)
class Graphics:
    """One display controller or accelerator. `memory` is None where neither sysfs nor the driver's tool tells."""

    # Who made it: "NVIDIA", "AMD", "Intel", or the name of a management chip's or hypervisor's vendor.
    vendor: str
    # PCI device id with its prefix, such as 0x2204; empty where the card is on no PCI bus.
    device: str
    # PCI address, such as 0000:01:00.0.
    address: str
    memory: Optional[int] = None
    free: Optional[int] = None
    # The kernel driver that is bound to it: nvidia, nouveau, amdgpu, i915, xe, vfio-pci, … Empty: none.
    driver: str = ""
    # As pci.ids calls it. One id may stand for several cards; empty where the table does not have it.
    name: str = ""
    kind: str = DISCRETE
    # Chip, such as GA102 or "Navi 31", and architecture, such as Ampere or "RDNA 3".
    chip: str = ""
    generation: str = ""
    # What engines are compiled for: CUDA compute capability ("8.6") or LLVM target ("gfx1100").
    target: str = ""
    driver_version: str = ""
    # The engine's library that supports this chip, whatever is installed; empty: none of them.
    backend: str = ""
    # Whether the engine would compute on it now, with the driver that is loaded; `reason` says why, or why not.
    usable_by_engine: bool = False
    reason: str = ""
    # Its own name wherever it is plugged in: "GPU-" and a UUID, or 16 digits for AMD's. Empty where no driver tells it.
    uuid: str = ""
    # Whether gridtie_gpu_devices names others.
    left_out: bool = False

    @property
    def title(self) -> str:
        """Vendor and name for people."""
        return f"{self.vendor} {self.name or self.device or 'GPU'}"

    @property
    def expected(self) -> bool:
        """A card of its own that the engine supports: to leave it idle is a fault, unless someone wants it so."""
        return self.kind == DISCRETE and bool(self.backend) and self.driver != "vfio-pci" and not self.left_out
