"""A machine's tree as one text file: what `read_survey` looks at, to be read on another machine.

`python -m gridtie.host.gpu.record > machine.tree` records; `unpack` makes a directory of it that is read as a root.
A line is `path = content` (\\n for line ends, \\0 for NUL), `path < bytes in hex`, `path -> where a link points`,
or `path/` for a directory. Lines that begin with # are remarks. Nothing that names a machine or a person is in it.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from .access import driver_packages
from .bus import DEVICES
from .modules import describe
from .tree import data, names, text

# What is copied as text, below the root; a star stands for one part.
TEXTS = (
    "etc/os-release",
    "etc/nv_tegra_release",
    "etc/docker/daemon.json",
    "proc/sys/kernel/osrelease",
    "proc/sys/kernel/arch",
    "proc/driver/nvidia/version",
    "proc/driver/nvidia/gpus/*/information",
    "sys/kernel/security/lockdown",
    "sys/class/dmi/id/sys_vendor",
    "sys/class/dmi/id/product_name",
    "sys/class/kfd/kfd/topology/nodes/*/properties",
    "sys/module/nvidia/version",
    "sys/module/amdgpu/version",
    "sys/bus/pci/devices/*/vendor",
    "sys/bus/pci/devices/*/device",
    "sys/bus/pci/devices/*/class",
    "sys/bus/pci/devices/*/mem_info_vram_total",
    "sys/bus/pci/devices/*/mem_info_vram_used",
    "etc/cdi/*",
    "var/run/cdi/*",
)
BYTES = ("sys/firmware/efi/efivars/SecureBoot-*",)
# Only that they are there counts.
PRESENT = (
    "dev/nvidia*", "dev/kfd", "dev/dxg", "dev/nvhost-gpu", "dev/dri/*", "usr/bin/nvidia-ctk", "usr/lib/wsl/lib/*",
    "usr/lib/*/libnvidia-ml.so.*", "usr/lib/*/nvidia/current/libnvidia-ml.so.*",
    "usr/lib64/libnvidia-ml.so.*", "usr/share/vulkan/icd.d/*",
    "etc/systemd/system/nvidia-cdi-refresh.*", "usr/lib/systemd/system/nvidia-cdi-refresh.*",
    "sys/bus/pci/devices/*/physfn",
)  # fmt: skip
DIRECTORIES = ("sys/module/nvidia", "sys/module/nvidia_uvm", "sys/module/amdgpu", "sys/module/nouveau")


def record(root: Path) -> str:
    """The tree below `root` as text."""
    lines = [_line(root, path, _escaped(text(path))) for path in _found(root, TEXTS) if path.is_file()]
    drivers = [root / DEVICES / address / "driver" for address in names(root / DEVICES)]
    lines += [f"{path.relative_to(root)} -> {path.readlink()}" for path in drivers if path.is_symlink()]
    # Only root may read some.
    lines += [f"{path.relative_to(root)} < {data(path).hex()}" for path in _found(root, BYTES) if data(path)]
    lines += [_line(root, path, "") for path in _found(root, PRESENT)]
    lines += [f"{name}/" for name in DIRECTORIES if (root / name).is_dir()]
    cpu = text(root / "proc/cpuinfo")
    if " hypervisor" in cpu:
        lines.append("proc/cpuinfo = flags : hypervisor")
    kernel = text(root / "proc/sys/kernel/osrelease")
    headers = _found(root, (f"usr/src/linux-headers-{kernel}", f"usr/src/kernels/{kernel}"))
    lines += [f"{path.relative_to(root)}/" for path in headers if path.is_dir()]
    lines += _module_lines(root, kernel)
    packages = "\n".join(
        f"Package: {name}\nStatus: {wanted} ok installed\nVersion: {version}\n"
        for name, (wanted, version) in driver_packages(root).items()
    )
    lines += [_line(root, root / "var/lib/dpkg/status", _escaped(packages))] if packages else []
    return "\n".join(lines) + "\n"


def _module_lines(root: Path, kernel: str) -> list[str]:
    """Drivers' module files. Their content is megabytes; the part that says version and licence is enough."""
    found = []
    for name in ("nvidia", "nvidia_uvm", "amdgpu"):
        told = describe(root, kernel, name)
        found += [_line(root, told[0], _escaped(told[1].decode("latin-1")))] if told else []
    return found


def _found(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(root.glob(pattern))]


def _line(root: Path, path: Path, content: str) -> str:
    return f"{path.relative_to(root)} = {content}".rstrip() if content else f"{path.relative_to(root)} ="


def _escaped(content: str) -> str:
    return content.replace("\\", "\\\\").replace("\n", "\\n").replace("\0", "\\0")


def _plain(content: str) -> str:
    return re.sub(r"\\([n0\\])", lambda found: {"n": "\n", "0": "\0", "\\": "\\"}[found.group(1)], content)


def unpack(recorded: str, root: Path) -> None:
    """Make the recorded tree below an empty directory. Raises ValueError with the line that is not one."""
    for number, line in enumerate(recorded.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.endswith("/") and " = " not in line:
            (root / line).mkdir(parents=True, exist_ok=True)
            continue
        path, separator, content = _split(line)
        if not separator or path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"line {number} is no `path = content`: {line!r}")
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if separator == "->":
            target.symlink_to(content)
        elif separator == "<":
            target.write_bytes(bytes.fromhex(content))
        else:
            target.write_text(_plain(content) + "\n", encoding="utf-8")


def _split(line: str) -> tuple[str, str, str]:
    for separator in ("=", "->", "<"):
        path, found, content = line.partition(f" {separator}")
        if found and " " not in path:
            return path, separator, content.strip()
    return line, "", ""


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("/")
    if not names(root):
        sys.stderr.write(f"{root} is empty or cannot be read\n")
        return 1
    sys.stdout.write(record(root))
    return 0


if __name__ == "__main__":
    sys.exit(main())
