"""What a station runs on: one table, by which the preflight judges a machine and which docs/support.md shows.

The first row that fits a machine is its row; the last one fits all.
"""

from __future__ import annotations

from typing import NamedTuple

# Tested: by the project's own tests, on such a machine. Expected: all of it is provided for, and nobody has run it.
# Unsupported: refused by the preflight.
TESTED, EXPECTED, UNSUPPORTED = "tested", "expected", "unsupported"

# Spelled as `uname -m` does.
X86_64, ARM64 = "x86_64", "aarch64"
_ANY: tuple[str, ...] = ()
WANTED = "Debian 12, Debian 13 or Ubuntu 24.04 on x86_64 or aarch64, also within WSL2, or macOS"


class Platform(NamedTuple):
    """A kind of machine.

    ``ids`` and ``versions`` are those of os-release, ``architectures`` those of `uname -m`, ``wsl`` is 1 or 2 within
    the Windows Subsystem for Linux; empty or None fits all. ``remark`` says what was not tested, or what a support
    would have to have.
    """

    name: str
    level: str
    remark: str = ""
    ids: tuple[str, ...] = _ANY
    versions: tuple[str, ...] = _ANY
    architectures: tuple[str, ...] = _ANY
    wsl: int | None = None

    def fits(self, id: str, version: str, architecture: str, wsl: int) -> bool:
        """Whether a machine is of this kind."""
        return (
            (not self.ids or id in self.ids)
            and (not self.versions or version in self.versions)
            and (not self.architectures or architecture in self.architectures)
            and (self.wsl is None or wsl == self.wsl)
        )


PLATFORMS = (
    Platform("WSL1", UNSUPPORTED, "Docker, which needs a Linux kernel: wsl --set-version NAME 2", wsl=1),
    Platform("Debian 13, x86_64", TESTED, "", ("debian",), ("13",), (X86_64,), 0),
    Platform("Debian 12, x86_64", TESTED, "", ("debian",), ("12",), (X86_64,), 0),
    Platform(
        "Ubuntu 24.04, x86_64", EXPECTED, "its archive is out of reach for the project's tests",
        ("ubuntu",), ("24.04",), (X86_64,), 0,
    ),
    Platform(
        "Debian 12, Debian 13 or Ubuntu 24.04 within WSL2", EXPECTED, "no test runs on Windows",
        ("debian", "ubuntu"), ("12", "13", "24.04"), (X86_64, ARM64), 2,
    ),
    Platform(
        "Debian 12, Debian 13 or Ubuntu 24.04, aarch64", EXPECTED, "no test runs on this architecture",
        ("debian", "ubuntu"), ("12", "13", "24.04"), (ARM64,), 0,
    ),
    Platform("macOS", EXPECTED, "no test runs on a Mac: docs/macos.md", ("macos",), _ANY, (X86_64, ARM64)),
    Platform(
        "Debian and Ubuntu, other releases", UNSUPPORTED,
        "the names and versions of this release's packages, and a base image of it that Ollama was compiled in",
        ("debian", "ubuntu"), _ANY, (X86_64, ARM64),
    ),
    Platform(
        "RHEL and what descends from it, Fedora", UNSUPPORTED,
        "images that are built from packages of dnf: they are built from apt's, at the mirror that the machine uses",
        ("rhel", "rocky", "almalinux", "centos", "ol", "fedora"), _ANY, (X86_64, ARM64),
    ),
    Platform(
        "other systems, other architectures", UNSUPPORTED,
        "this system's packages for Docker and the images, and engines that are compiled for this processor",
    ),
)  # fmt: skip


def find(system: dict[str, str], architecture: str, wsl: int = 0) -> Platform:
    """The row of a machine."""
    return next(row for row in PLATFORMS if row.fits(system["id"], system["version"], architecture, wsl))


def refusal(system: dict[str, str], architecture: str, wsl: int = 0) -> str:
    """What was found, what is supported and what is missing, as one sentence; empty where a station runs."""
    row = find(system, architecture, wsl)
    if row.level != UNSUPPORTED:
        return ""
    where = f" within WSL{wsl}" if wsl else ""
    return (
        f"this is {system['name']} on {architecture}{where}, and a station runs on {WANTED}; "
        f"for this one would have to be had: {row.remark}"
    )
