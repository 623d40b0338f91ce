"""What around the card decides whether it can be used: distribution, kernel, firmware, hypervisor, WSL2, Jetson."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from .tree import data, names, text

# The efivars attribute bytes before a variable's value (UEFI specification 2.10, 8.2).
_EFI_ATTRIBUTES = 4
_SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

# By ID, then by ID_LIKE: AlmaLinux and Rocky say "rhel centos fedora".
_FAMILIES = (
    ("debian", ("debian",)),
    ("ubuntu", ("ubuntu",)),
    ("rhel", ("rhel", "centos", "almalinux", "rocky", "ol")),
    ("fedora", ("fedora",)),
)
_HYPERVISORS = {
    "QEMU": "KVM", "VMware": "VMware", "innotek": "VirtualBox", "Xen": "Xen", "Parallels": "Parallels",
    "Bochs": "KVM", "OpenStack": "KVM", "Amazon EC2": "EC2", "Google": "Google Compute Engine",
}  # fmt: skip


@dataclass(frozen=True)
class System:
    """A machine as far as graphics drivers are concerned."""

    # "debian", "ubuntu", "rhel", "fedora", or "" for others; `version` is VERSION_ID as it is written.
    family: str = ""
    id: str = ""
    version: str = ""
    codename: str = ""
    name: str = ""
    kernel: str = ""
    # As `uname -m` says.
    architecture: str = ""
    # "KVM", "VMware", "Hyper-V", …; empty on real hardware.
    hypervisor: str = ""
    # 2 or 1 inside the Windows Subsystem for Linux, else 0; whether Windows lends its GPU, with its NVIDIA library.
    wsl: int = 0
    dxg: bool = False
    wsl_nvidia: bool = False
    # "R36.4" on a Jetson, else empty.
    jetson: str = ""
    # None: no UEFI, or the variable cannot be read.
    secure_boot: Optional[bool] = None
    # "none", "integrity", "confidentiality", or "" where the kernel has no lockdown.
    lockdown: str = ""
    # Whether modules can be built for the running kernel.
    headers: bool = False

    @property
    def version_number(self) -> int:
        """The release's first number: 10 for Rocky "10.1", 24 for Ubuntu "24.04"; 0 for a rolling one."""
        found = re.match(r"\d+", self.version)
        return int(found.group()) if found else 0


def family_of(fields: dict[str, str]) -> str:
    """Of the fields of os-release. A derivative counts as what it is like, the nearest first.

    RHEL's descendants say ID_LIKE="rhel centos fedora"; PLATFORM_ID ("platform:el10") says the same where it is there.
    Ubuntu says ID_LIKE=debian, and its own descendants "ubuntu debian".
    """
    own, like = fields.get("ID", ""), fields.get("ID_LIKE", "").split()
    for word in (own, *like):
        for family, members in _FAMILIES:
            if word in members:
                return family
    return "rhel" if fields.get("PLATFORM_ID", "").startswith("platform:el") else ""


def os_release(content: str) -> dict[str, str]:
    """The fields of an os-release file."""
    pairs = (line.partition("=") for line in content.splitlines() if not line.lstrip().startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, separator, value in pairs if separator}


def read_system(root: Path, architecture: str = "") -> System:
    """The machine below `root`. `architecture` is what `uname -m` says here; a tree cannot tell."""
    fields = os_release(text(root / "etc/os-release") or text(root / "usr/lib/os-release"))
    kernel = text(root / "proc/sys/kernel/osrelease")
    wsl = _wsl(kernel)
    return System(
        family=family_of(fields),
        id=fields.get("ID", ""),
        version=fields.get("VERSION_ID", ""),
        codename=fields.get("VERSION_CODENAME", ""),
        name=fields.get("PRETTY_NAME", fields.get("NAME", "unknown system")),
        kernel=kernel,
        architecture=architecture or text(root / "proc/sys/kernel/arch"),
        hypervisor="" if wsl else _hypervisor(root),
        wsl=wsl,
        dxg=(root / "dev/dxg").exists(),
        wsl_nvidia=any(name.startswith("libnvidia-ml.so") for name in names(root / "usr/lib/wsl/lib")),
        jetson=_jetson(root),
        secure_boot=_secure_boot(root),
        lockdown=_chosen(text(root / "sys/kernel/security/lockdown")),
        headers=_headers(root, kernel),
    )


def _wsl(kernel: str) -> int:
    """WSL1's kernel says "4.4.0-19041-Microsoft", WSL2's "5.15.153.1-microsoft-standard-WSL2"."""
    if re.search("microsoft", kernel, re.I):
        return 2 if re.search("WSL2|standard", kernel) else 1
    return 0


def _hypervisor(root: Path) -> str:
    """From the firmware's names; else from the processor, which says that there is one, not which."""
    vendor, product = (text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name"))
    if vendor == "Microsoft Corporation" and product == "Virtual Machine":
        return "Hyper-V"
    if "metal" in product:
        return ""
    for word, hypervisor in _HYPERVISORS.items():
        if vendor.startswith(word) or product.startswith(word):
            return hypervisor
    flags = re.search(r"^flags\s*:(.*)$", text(root / "proc/cpuinfo"), re.M)
    return "a hypervisor" if flags and " hypervisor" in flags.group(1) else ""


def _jetson(root: Path) -> str:
    """From /etc/nv_tegra_release: "# R36 (release), REVISION: 4.3, …"."""
    found = re.match(r"#\s*R(\d+)\s.*?REVISION:\s*([\d.]+)", text(root / "etc/nv_tegra_release"))
    return f"R{found.group(1)}.{found.group(2)}" if found else ""


def _secure_boot(root: Path) -> Optional[bool]:
    value = data(root / "sys/firmware/efi/efivars" / _SECURE_BOOT)
    return value[_EFI_ATTRIBUTES] == 1 if len(value) > _EFI_ATTRIBUTES else None


def _chosen(line: str) -> str:
    """The word in brackets of "none [integrity] confidentiality"."""
    found = re.search(r"\[(\w+)\]", line)
    return found.group(1) if found else ""


def _headers(root: Path, kernel: str) -> bool:
    """Debian and Ubuntu link `build` to /usr/src/linux-headers-…, Fedora and RHEL to /usr/src/kernels/…"""
    modules = root / "lib/modules" / kernel
    linked = modules / "build"
    # A dangling link is what is left when the headers are removed.
    places = (f"usr/src/linux-headers-{kernel}", f"usr/src/kernels/{kernel}")
    return bool(kernel) and ((linked.is_dir() and bool(names(linked))) or any((root / p).is_dir() for p in places))
