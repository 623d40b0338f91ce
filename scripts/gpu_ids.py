#!/usr/bin/env python3
"""Write src/gridtie/host/gpu/pci_ids.py from a pci.ids file: `scripts/gpu_ids.py /usr/share/misc/pci.ids`.

Kept are the devices of NVIDIA, AMD and Intel whose code name the tables of chips.py know. Debian's package `pci.ids` of
testing or unstable has a young file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from gridtie.host.gpu import chips  # noqa: E402

VENDORS = {"10de": "NVIDIA", "1002": "AMD", "8086": "Intel"}
OUT = ROOT / "src/gridtie/host/gpu/pci_ids.py"
# Names of functions of the same chips that draw nothing, and of host bridges that are called like the processor.
NO_GRAPHICS = re.compile(r"audio|usb|bridge|pci|root|sata|smbus|crypto|hub|controller$|dma|hdmi|switch", re.I)
# "GA102 [GeForce RTX 3090]"; AMD's processors often have a code name alone.
NAMED = re.compile(r"(?P<chip>[^\[]+?)\s*(?:\[(?P<product>.+)\])?$")
HEAD = '''"""Devices by vendor: id, chip and product, one to a line. Written by scripts/gpu_ids.py; do not edit.

From pci.ids of {date} (https://pci-ids.ucw.cz, BSD 3-clause or GPL), the devices whose chip chips.py knows.
"""

from __future__ import annotations

DATE = "{date}"
'''


def devices(path: Path) -> tuple[str, dict[str, list[str]]]:
    """The file's date and, for each vendor, the lines to keep."""
    date, vendor = "", ""
    kept: dict[str, list[str]] = {name: [] for name in VENDORS.values()}
    for line in path.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"#\s+Version: (\d{4})\.(\d\d)\.(\d\d)", line):
            date = "-".join(found.groups())
        elif found := re.match(r"([0-9a-f]{4})  ", line):
            vendor = VENDORS.get(found.group(1), "")
        elif vendor and (found := re.match(r"\t([0-9a-f]{4})  (.+)", line)):
            entry = line_of(vendor, found.group(1), found.group(2).strip())
            kept[vendor] += [entry] if entry else []
    return date, kept


def line_of(vendor: str, device: str, text: str) -> str:
    """One device as a line of the table; empty where it is no graphics chip that engines could meet."""
    found = NAMED.match(text)
    if not found or NO_GRAPHICS.search(text):
        return ""
    chip, product = found["chip"].strip(), (found["product"] or "").strip()
    integrated = vendor == "Intel" and re.search(r"graphics|\barc\b|iris", text, re.I)
    if not (chips.known(vendor, chip) or integrated):
        return ""
    return f"{device}|{chip}|{product}"


def main() -> int:
    """Write the table; with `--check` only say whether it is what the file gives."""
    date, kept = devices(Path(sys.argv[1]))
    text = HEAD.format(date=date)
    for vendor, lines in kept.items():
        text += f'\n{vendor.upper()} = """\\\n' + "\n".join(lines) + '\n"""\n'
    if "--check" in sys.argv[2:]:
        return 0 if OUT.read_text(encoding="utf-8") == text else 1
    OUT.write_text(text, encoding="utf-8")
    print({vendor: len(lines) for vendor, lines in kept.items()}, len(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
