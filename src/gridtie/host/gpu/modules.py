"""A kernel module: what is loaded, what is installed for the running kernel, and whether the two are the same.

Nothing remembers that a reboot is due: it is derived from loaded against installed, so that a later run says it again.
"""

from __future__ import annotations

import gzip
import lzma
import re
from dataclasses import dataclass
from pathlib import Path

from .numbers import same
from .tree import data, names, text

# What `sign-file` of the kernel appends to a signed module.
_SIGNATURE = b"~Module signature appended~\n"


@dataclass(frozen=True)
class Module:
    """One kernel module. Versions are empty where there is none or where it does not tell."""

    loaded: bool = False
    # Of the module in the kernel.
    loaded_version: str = ""
    # Whether a module file for the running kernel is there, and its version.
    installed: bool = False
    installed_version: str = ""
    # Of the libraries that programs use; they refuse a kernel module of another version.
    library_version: str = ""
    # NVIDIA only: the open modules.
    open: bool = False
    # Whether the installed file carries a signature; True also where that cannot be seen.
    signed: bool = True

    @property
    def mismatch(self) -> str:
        """Where the loaded version differs from what is installed; empty: it does not, or nothing is loaded."""
        for name, other in (("the installed module", self.installed_version), ("its libraries", self.library_version)):
            if self.loaded_version and other and not same(self.loaded_version, other):
                return f"the kernel has {self.loaded_version}, {name} {other}"
        return ""


def read_module(root: Path, kernel: str, name: str) -> Module:
    """A module by its name as `lsmod` shows it, for the running kernel `kernel`."""
    loaded = (root / "sys/module" / name).is_dir()
    proc = text(root / "proc/driver" / name / "version")
    file = _module_file(root, kernel, name)
    content = _content(file) if file else b""
    return Module(
        loaded=loaded,
        loaded_version=(text(root / "sys/module" / name / "version") or _proc_version(proc)) if loaded else "",
        installed=file is not None,
        installed_version=(_modinfo(content, "version") or _dkms_version(root, kernel, name)) if file else "",
        library_version=_library_version(root) if name == "nvidia" else "",
        open="Open Kernel Module" in proc or _modinfo(content, "license") == "Dual MIT/GPL",
        signed=not content or content.endswith(_SIGNATURE),
    )


def describe(root: Path, kernel: str, name: str) -> tuple[Path, bytes] | None:
    """The file of a module and as much of it as `read_module` reads, for a record."""
    file = _module_file(root, kernel, name)
    if file is None:
        return None
    content = _content(file)
    told = [f"{key}={value}".encode() for key in ("license", "version") if (value := _modinfo(content, key))]
    # A line end follows in a record.
    told += [_SIGNATURE.strip()] if content.endswith(_SIGNATURE) else [b""]
    # Named without its compression, for the bytes are no longer compressed.
    plain = file.with_name(file.name.split(".ko")[0] + ".ko")
    return plain, b"\0".join([b"", *told])


def _proc_version(proc: str) -> str:
    """From /proc/driver/nvidia/version: "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  …"."""
    found = re.search(r"Kernel Module\s+(?:for \S+\s+)?(\d+(?:\.\d+)+)", proc)
    return found.group(1) if found else ""


def _module_file(root: Path, kernel: str, name: str) -> Path | None:
    """The file that `modprobe` takes: modules.dep names it. Debian calls NVIDIA's nvidia-current."""
    if not kernel:
        return None
    directory = root / "lib/modules" / kernel
    if not directory.is_dir():
        directory = root / "usr/lib/modules" / kernel
    stems = {name, name.replace("_", "-")} | ({"nvidia-current", "nvidia-current-open"} if name == "nvidia" else set())
    listed = (line.split(":", 1)[0] for line in text(directory / "modules.dep").splitlines())
    for path in (*listed, *_where_drivers_are_put(directory)):
        if Path(path).name.split(".ko")[0] in stems and (directory / path).is_file():
            return directory / path
    return None


def _where_drivers_are_put(directory: Path) -> list[str]:
    """Modules beside the kernel's own, for a modules.dep that is older than they are."""
    found = []
    for part in ("updates/dkms", "extra", "updates", "kernel/nvidia-580srv-open", "kernel/nvidia-580srv"):
        found += [f"{part}/{name}" for name in names(directory / part) if ".ko" in name]
    return found


def _content(file: Path) -> bytes:
    """A module's bytes. Compressed by Zstandard they stay unread: the standard library before 3.14 cannot."""
    raw = data(file)
    try:
        if file.suffix == ".xz":
            return lzma.decompress(raw)
        if file.suffix == ".gz":
            return gzip.decompress(raw)
    except (OSError, EOFError, lzma.LZMAError):
        return b""
    return b"" if file.suffix == ".zst" else raw


def _modinfo(content: bytes, key: str) -> str:
    """A value of the section .modinfo, which holds key=value strings ended by NUL."""
    found = re.search(rb"(?:^|\0)" + key.encode() + rb"=([^\0]*)\0", content)
    return found.group(1).decode("utf-8", "replace") if found else ""


def _dkms_version(root: Path, kernel: str, name: str) -> str:
    """The version that DKMS built for this kernel: /var/lib/dkms/nvidia/580.95.05/<kernel>/…"""
    tree = root / "var/lib/dkms"
    for source in names(tree):
        if source == name or source.startswith((f"{name}-current", f"{name}-open")):
            built = [version for version in names(tree / source) if (tree / source / version / kernel).is_dir()]
            if built:
                return built[-1]
    return ""


def _library_version(root: Path) -> str:
    """From the file name of NVIDIA's management library, which nvidia-smi and the engine load."""
    for directory in ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib64"):
        for inner in ("", "nvidia/current"):
            for name in names(root / directory / inner):
                found = re.fullmatch(r"libnvidia-ml\.so\.(\d+\.[\d.]+)", name)
                if found:
                    return found.group(1)
    return ""
