"""What a chip's name says of it: generation, compute target, and the engine's library that supports it. Pure.

Code names come from pci.ids (see pci_ids.py). What the engine supports is that of the pinned Ollama, v0.32.15:
`llama/server/CMakePresets.json` (what its libraries are compiled for), `discover/runner.go` (integrated GPUs) and
`docs/gpu.mdx`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .card import CUDA, DISCRETE, INTEGRATED, ROCM, VULKAN
from .numbers import version

# CMAKE_CUDA_ARCHITECTURES of the presets cuda_v12, cuda_v13 and the two for Jetson. A device with another capability
# is skipped by the engine's discovery.
CUDA_CAPABILITIES = frozenset((
    "5.0", "5.2", "6.0", "6.1", "7.0", "7.2", "7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0",
    "12.1",
))  # fmt: skip
# AMDGPU_TARGETS of the preset rocm_v7_2 for Linux.
ROCM_TARGETS = frozenset((
    "gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030", "gfx1100", "gfx1101", "gfx1102", "gfx1150", "gfx1151",
    "gfx1200", "gfx1201",
))  # fmt: skip
# defaultIntegratedROCmGFXTargets: other integrated GPUs are dropped unless OLLAMA_IGPU_ENABLE is set.
ROCM_INTEGRATED = frozenset({"gfx1151"})

# The first capability that NVIDIA's open kernel modules support, and the only ones that newer branches have.
OPEN_MODULES_FROM = (7, 5)


@dataclass(frozen=True)
class Chip:
    """A chip's properties. `target` is empty where it is not known."""

    name: str
    generation: str
    target: str
    kind: str = DISCRETE


# Beginning of the code name -> generation and compute capability; the longest that matches counts. NVIDIA names chips
# G, the generation's letter, and a number; capabilities are from its list at developer.nvidia.com/cuda-gpus.
_NVIDIA = {
    "GF": ("Fermi", "2.1"), "GF100": ("Fermi", "2.0"), "GF110": ("Fermi", "2.0"),
    "GK": ("Kepler", "3.0"), "GK11": ("Kepler", "3.5"), "GK18": ("Kepler", "3.5"), "GK208": ("Kepler", "3.5"),
    "GK21": ("Kepler", "3.7"),
    "GM10": ("Maxwell", "5.0"), "GM20": ("Maxwell", "5.2"), "GM20B": ("Maxwell", "5.3"),
    "GP10": ("Pascal", "6.1"), "GP100": ("Pascal", "6.0"), "GP10B": ("Pascal", "6.2"),
    "GV10": ("Volta", "7.0"), "GV11B": ("Volta", "7.2"),
    "TU1": ("Turing", "7.5"),
    "GA100": ("Ampere", "8.0"), "GA10": ("Ampere", "8.6"), "GA10B": ("Ampere", "8.7"),
    "AD10": ("Ada Lovelace", "8.9"),
    "GH100": ("Hopper", "9.0"),
    "GB100": ("Blackwell", "10.0"), "GB102": ("Blackwell", "10.0"), "GB110": ("Blackwell", "10.3"),
    "GB112": ("Blackwell", "10.3"), "GB10B": ("Blackwell", "11.0"), "GB20": ("Blackwell", "12.0"),
    "GB20B": ("Blackwell", "12.1"),
    # Announced, and in no library of the pinned engine.
    "GR10": ("Rubin", ""),
}  # fmt: skip

# Code name -> generation and LLVM target (AMDGPUUsage of LLVM), and whether it is part of a processor.
_AMD = {
    "Tahiti": ("GCN 1", "gfx600"), "Pitcairn": ("GCN 1", "gfx601"), "Curacao": ("GCN 1", "gfx601"),
    "Cape Verde": ("GCN 1", "gfx601"), "Oland": ("GCN 1", "gfx602"), "Bonaire": ("GCN 2", "gfx704"),
    "Hawaii": ("GCN 2", "gfx701"), "Tonga": ("GCN 3", "gfx802"), "Fiji": ("GCN 3", "gfx803"),
    "Ellesmere": ("GCN 4", "gfx803"), "Baffin": ("GCN 4", "gfx803"), "Lexa": ("GCN 4", "gfx803"),
    "Polaris": ("GCN 4", "gfx803"), "Vega 10": ("GCN 5", "gfx900"), "Vega 12": ("GCN 5", "gfx904"),
    "Vega 20": ("GCN 5", "gfx906"), "Arcturus": ("CDNA", "gfx908"), "Aldebaran": ("CDNA 2", "gfx90a"),
    "Aqua Vanjaram": ("CDNA 3", "gfx942"),
    "Navi 10": ("RDNA", "gfx1010"), "Navi 12": ("RDNA", "gfx1011"), "Navi 14": ("RDNA", "gfx1012"),
    "Navi 21": ("RDNA 2", "gfx1030"), "Navi 22": ("RDNA 2", "gfx1031"), "Navi 23": ("RDNA 2", "gfx1032"),
    "Navi 24": ("RDNA 2", "gfx1034"), "Navi 31": ("RDNA 3", "gfx1100"), "Navi 32": ("RDNA 3", "gfx1101"),
    "Navi 33": ("RDNA 3", "gfx1102"), "Navi 44": ("RDNA 4", "gfx1200"), "Navi 48": ("RDNA 4", "gfx1201"),
}  # fmt: skip
_AMD_INTEGRATED = {
    "Kaveri": ("GCN 2", "gfx700"), "Carrizo": ("GCN 3", "gfx801"), "Wani": ("GCN 3", "gfx801"),
    "Stoney": ("GCN 3", "gfx810"), "Raven": ("GCN 5", "gfx902"), "Picasso": ("GCN 5", "gfx909"),
    "Renoir": ("GCN 5", "gfx90c"), "Lucienne": ("GCN 5", "gfx90c"), "Cezanne": ("GCN 5", "gfx90c"),
    "Barcelo": ("GCN 5", "gfx90c"), "VanGogh": ("RDNA 2", "gfx1033"), "Van Gogh": ("RDNA 2", "gfx1033"),
    "Rembrandt": ("RDNA 2", "gfx1035"), "Raphael": ("RDNA 2", "gfx1036"), "Mendocino": ("RDNA 2", "gfx1037"),
    "Granite Ridge": ("RDNA 2", "gfx1036"), "Phoenix": ("RDNA 3", "gfx1103"), "HawkPoint": ("RDNA 3", "gfx1103"),
    "Strix Halo": ("RDNA 3.5", "gfx1151"), "Strix": ("RDNA 3.5", "gfx1150"), "Krackan": ("RDNA 3.5", "gfx1152"),
}  # fmt: skip
# Intel's cards of their own; everything else of Intel's is part of a processor or chipset.
_INTEL = {
    "DG1": "Xe LP", "SG1": "Xe LP", "DG2": "Xe HPG", "ATS-M": "Xe HPG", "Battlemage": "Xe2",
    "Ponte Vecchio": "Xe HPC",
}  # fmt: skip
# MI350 has the same code name in pci.ids as MI300 and another target.
_MI350 = re.compile(r"MI35\dP?X?")


def _longest(table: dict[str, tuple[str, str]], name: str) -> tuple[str, str]:
    fitting = [start for start in table if name.startswith(start)]
    return table[max(fitting, key=len)] if fitting else ("", "")


def nvidia_chip(name: str) -> Chip:
    """Of a code name such as GA102 or TU104GLM. One that the table does not have has no generation."""
    return Chip(name, *_longest(_NVIDIA, name))


def amd_chip(name: str, product: str = "") -> Chip:
    """Of a code name such as "Navi 31", and of the product's name where chips share one."""
    integrated = _longest(_AMD_INTEGRATED, name)
    if integrated[0]:
        return Chip(name, *integrated, kind=INTEGRATED)
    generation, target = _longest(_AMD, name)
    if target == "gfx942" and _MI350.search(product):
        generation, target = "CDNA 4", "gfx950"
    return Chip(name, generation, target)


def intel_chip(name: str) -> Chip:
    """Of a code name such as DG2 or "Alder Lake-P"."""
    generation = next((value for start, value in _INTEL.items() if name.startswith(start)), "")
    return Chip(name, generation, "", DISCRETE if generation else INTEGRATED)


def known(vendor: str, name: str) -> bool:
    """Whether a code name of pci.ids is one of these tables: which lines of it are worth keeping."""
    chip = {"NVIDIA": nvidia_chip, "AMD": amd_chip, "Intel": intel_chip}[vendor](name)
    return bool(chip.generation)


def cuda_backend(capability: str) -> str:
    """`CUDA` where the engine's libraries have code for this compute capability."""
    return CUDA if capability in CUDA_CAPABILITIES else ""


def amd_backend(target: str, kind: str) -> str:
    """ROCm where the engine is compiled for the target, else Vulkan; integrated ones only where it takes them."""
    if kind == INTEGRATED:
        return ROCM if target in ROCM_INTEGRATED else ""
    return ROCM if target in ROCM_TARGETS else VULKAN


def needs_proprietary(capability: str) -> bool:
    """Whether NVIDIA's open kernel modules do not support a card: Volta and older."""
    return bool(capability) and version(capability) < OPEN_MODULES_FROM


def driver_floor(capability: str) -> int:
    """The oldest NVIDIA driver branch that serves the engine on a card.

    550 for its CUDA libraries; 570 for compute capability 5.0 to 6.2 (both `discover/cuda_compat.go`); 570 is also the
    first branch that knows Blackwell (its first cards came with 570.86), and 580 the first for 10.3, 11.0 and 12.1.
    """
    number = version(capability)
    if number in ((10, 3), (11, 0), (12, 1)):
        return 580
    return 570 if number < (7, 0) or number >= (10, 0) else 550
