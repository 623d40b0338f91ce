"""How fast memory is read: estimates from memory modules, from measured reading, and from tables of makers' figures.

Generation is bound by memory bandwidth, and on a few cores by what these compute. No figure here is a promise: each
says where it comes from, and what an engine reaches of a peak is a share that was measured elsewhere.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Optional

# The share of what memory can do that llama.cpp's generation reaches: llmfit measured 0.55 over graphics cards and
# processors. Published runs of llama.cpp agree from the safe side (Apple M1 to M3 Max 0.59 to 0.78, RTX 4090 0.6).
ENGINE_SHARE_OF_PEAK = 0.55
# What all cores read together is some 0.85 of the peak (STREAM on desktops and servers): 0.55 / 0.85.
ENGINE_SHARE_OF_READING = 0.65
# Bytes of 4-bit weights a second that one core computes with, whatever the memory gives: llama.cpp b10566 on a Zen 4
# core with 2.6 GHz, SmolLM2 135M (Q4_1) 5.6 GB/s, Gemma 3 270M (Q4_K_M) 6.6 GB/s (docs/benchmarks.md).
ENGINE_BYTES_PER_CORE = 6e9

_DMI_MEMORY_DEVICE = 17

# Peak memory bandwidth in GB/s as the makers' product pages and data sheets give it; by the name that pci.ids uses,
# without the family. Of a card that exists with several memories the slower stands here.
_NVIDIA = {
    "RTX 5090": 1792, "RTX 5080": 960, "RTX 5070 Ti": 896, "RTX 5070": 672, "RTX 5060 Ti": 448, "RTX 5060": 448,
    "RTX 4090": 1008, "RTX 4080 SUPER": 736, "RTX 4080": 717, "RTX 4070 Ti SUPER": 672, "RTX 4070 Ti": 504,
    "RTX 4070 SUPER": 504, "RTX 4070": 480, "RTX 4060 Ti": 288, "RTX 4060": 272,
    "RTX 3090 Ti": 1008, "RTX 3090": 936, "RTX 3080 Ti": 912, "RTX 3080": 760, "RTX 3070 Ti": 608, "RTX 3070": 448,
    "RTX 3060 Ti": 448, "RTX 3060": 360, "RTX 3060 8GB": 240, "RTX 3050": 168,
    "RTX 2080 Ti": 616, "RTX 2080 SUPER": 496, "RTX 2080": 448, "RTX 2070": 448, "RTX 2060": 336,
    "GTX 1660 Ti": 288, "GTX 1660 SUPER": 336, "GTX 1660": 192, "GTX 1080 Ti": 484, "GTX 1080": 320, "GTX 1070": 256,
    "RTX 6000 Ada Generation": 960, "RTX A6000": 768, "RTX A5000": 768, "RTX A4000": 448,
    "H200": 4800, "H100 PCIe": 2000, "H100 SXM5 80GB": 3350, "A100 PCIe 40GB": 1555, "A100 PCIe 80GB": 1935,
    "A100 SXM4 40GB": 1555, "A100 SXM4 80GB": 2039, "L40S": 864, "L40": 864, "L4": 300, "A40": 696, "A10": 600,
    "Tesla T4": 300, "Tesla V100": 900, "Tesla P40": 347,
}  # fmt: skip
_AMD = {
    "9070 XT": 640, "9070": 640, "9060 XT": 320, "7900 XTX": 960, "7900 XT": 800, "7900 GRE": 576, "7800 XT": 624,
    "7700 XT": 432, "7600 XT": 288, "7600": 288, "6950 XT": 576, "6900 XT": 512, "6800 XT": 512, "6800": 512,
    "6750 XT": 432, "6700 XT": 384, "6650 XT": 280, "6600 XT": 256, "6600": 224, "W7900": 864, "W6800": 512,
    "MI300X": 5300, "MI210": 1600, "MI100": 1200, "8060S": 256, "8050S": 256,
}  # fmt: skip
_INTEL = {"A770": 512, "A750": 512, "A580": 512, "A380": 186, "B580": 456, "B570": 380}
_TABLES: Mapping[str, Mapping[str, int]] = {"NVIDIA": _NVIDIA, "AMD": _AMD, "Intel": _INTEL}
# Unified memory of Apple's chips (apple.com, technical specifications); the smaller variant of each.
_APPLE = {
    "M1": 68, "M1 Pro": 200, "M1 Max": 400, "M1 Ultra": 800, "M2": 100, "M2 Pro": 200, "M2 Max": 400, "M2 Ultra": 800,
    "M3": 100, "M3 Pro": 150, "M3 Max": 300, "M3 Ultra": 819, "M4": 120, "M4 Pro": 273, "M4 Max": 410, "M5": 153,
}  # fmt: skip


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second that the engine can be expected to read from memory: an estimate, with its source."""

    bytes_per_second: float
    source: str


def card_bandwidth(vendor: str, name: str) -> Optional[Bandwidth]:
    """Of a graphics card, by the name that pci.ids has for it. None where the table does not have it.

    One PCI id may stand for several cards ("Radeon RX 7900 XT/7900 XTX"): the slowest of them counts. Cards of laptops
    share their names with faster ones, and are left out.
    """
    if re.search(r"mobile|laptop|max-q", name, re.I):
        return None
    table = _TABLES.get(vendor, {})
    found = [rate for part in name.split("/") if (rate := _longest(table, part))]
    return _of_peak(min(found), f"{vendor}'s published {min(found)} GB/s") if found else None


def apple_bandwidth(chip: str) -> Optional[Bandwidth]:
    """Of an Apple chip, by what the system calls it ("Apple M2 Pro"). None where the table does not have it."""
    rate = _APPLE.get(chip[len("Apple ") :] if chip.startswith("Apple ") else chip)
    return _of_peak(rate, f"Apple's published {rate} GB/s") if rate else None


def _of_peak(gigabytes: float, source: str) -> Bandwidth:
    return Bandwidth(gigabytes * 1e9 * ENGINE_SHARE_OF_PEAK, f"estimated from {source}")


def _longest(table: Mapping[str, int], name: str) -> Optional[int]:
    hits = [key for key in table if re.search(rf"(?<!\w){re.escape(key)}(?!\w)", name, re.I)]
    return table[max(hits, key=len)] if hits else None


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


def reading_bandwidth(rate: float) -> Bandwidth:
    """From what all cores were measured to read together, in bytes a second."""
    return Bandwidth(rate * ENGINE_SHARE_OF_READING, f"estimated from {rate / 1e9:.0f} GB/s that all cores read")


def within_cores(found: Optional[Bandwidth], cores: int) -> Bandwidth:
    """No more than so many cores compute with: memory is not what a few of them wait for."""
    most = cores * ENGINE_BYTES_PER_CORE
    if found is None or found.bytes_per_second > most:
        each = ENGINE_BYTES_PER_CORE / 1e9
        return Bandwidth(most, f"estimated from what {cores} cores compute with, {each:g} GB/s each")
    return found
