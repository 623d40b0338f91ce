"""How a driver and the container toolkit are installed on each family of systems: a plan, and the commands to type.

Package names: NVIDIA's Driver Installation Guide 620 (9 November 2026), the indexes of the Debian and Ubuntu archives.
Pure: from a `System` and what the cards need.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .chips import driver_floor, needs_proprietary
from .numbers import version
from .system import System

# The last branch with proprietary modules (guide 620, "Proprietary Kernel Modules Removed"; 590 drops Maxwell, Pascal
# and Volta), and the long-lived one that Ubuntu has signed modules of: one branch for all cards.
BRANCH = 580
# What the Debian archives hold: 12 has 535.261, which is below every floor; 13 has 550.163.
DEBIAN_ARCHIVE = {12: 535, 13: 550}

ARCHIVE, NVIDIA_REPOSITORY, NOWHERE = "archive", "nvidia", ""
_CUDA = "https://developer.download.nvidia.com/compute/cuda/repos"
_TOOLKIT = "https://nvidia.github.io/libnvidia-container"
# Of NVIDIA's own repositories: key 3bf863cc for drivers, gpgkey for the container toolkit.
CUDA_FINGERPRINT = "EB693B3035CD5710E231E123A4B469963BF863CC"
TOOLKIT_FINGERPRINT = "C95B321B61E88C1809C4F759DDCAE044F796ECB0"


@dataclass(frozen=True)
class Source:
    """A package source to add, as a deb822 file holds it. Without a key it is signed by the machine's own release."""

    name: str
    uri: str
    suites: str
    components: str = ""
    key_url: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class Recipe:
    """A driver or toolkit for one machine.

    `packages` are those that a run may install itself (Debian and Ubuntu); `first` come before them, in a step of
    their own, because they pin the branch. `commands` are the whole recipe for a person, on every known family.
    """

    origin: str = NOWHERE
    branch: int = 0
    open: bool = True
    sources: tuple[Source, ...] = ()
    first: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    # What apt must not change behind a running kernel's back.
    hold: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    @property
    def automatic(self) -> bool:
        return bool(self.packages)


def driver(system: System, capabilities: tuple[str, ...], held: tuple[str, ...] = ()) -> Recipe:
    """NVIDIA's driver for cards of these compute capabilities; an empty recipe where there is none to give."""
    # On a machine with old and new cards only the proprietary modules serve both.
    proprietary = any(needs_proprietary(capability) for capability in capabilities)
    floor = max((driver_floor(capability) for capability in capabilities), default=550)
    made = {"debian": _debian, "ubuntu": _ubuntu, "rhel": _rhel, "fedora": _fedora}.get(system.family)
    if made is None or system.wsl or system.jetson:
        return Recipe()
    recipe = made(system, floor, not proprietary)
    if held and recipe.automatic:
        # "Held broken packages": apt refuses a change of branch until they are let go.
        commands = (f"sudo apt-mark unhold {' '.join(held)}", *recipe.commands)
        return replace(recipe, commands=commands)
    return recipe


def _machine(system: System) -> str:
    """NVIDIA's name for an architecture: sbsa is ARM servers."""
    return "sbsa" if system.architecture == "aarch64" else "x86_64"


def debian_flavour(kernel: str) -> str:
    """What linux-headers-… is called after: "6.12.57+deb13-cloud-amd64" is of the flavour cloud-amd64."""
    found = re.match(r"[\d.]+(?:\+[\w.~]+)?(?:-\d+)?-([a-z].*)$", kernel)
    return found.group(1) if found else ""


def _headers_of_debian(system: System) -> tuple[str, ...]:
    """For the running kernel, and the package that brings those of the next one with it."""
    flavour = debian_flavour(system.kernel)
    return tuple(f"linux-headers-{name}" for name in (system.kernel, flavour) if name)


def _debian(system: System, floor: int, open_modules: bool) -> Recipe:
    headers = _headers_of_debian(system)
    release = system.version_number
    if DEBIAN_ARCHIVE.get(release, 0) >= floor:
        module = "nvidia-open-kernel-dkms" if open_modules else "nvidia-kernel-dkms"
        packages = (module, "libcuda1", "nvidia-smi")
        return Recipe(
            ARCHIVE,
            DEBIAN_ARCHIVE[release],
            open_modules,
            sources=(Source("non-free", "", system.codename, "contrib non-free non-free-firmware"),),
            packages=(*headers, *packages),
            hold=packages,
            commands=(
                "sudo sed -i 's/^Components:.*/Components: main contrib non-free non-free-firmware/' "
                "/etc/apt/sources.list.d/debian.sources",
                "sudo apt-get update",
                f"sudo apt-get install {' '.join((*headers, *packages))}",
                "sudo reboot",
            ),
        )
    # Driver packages of both repositories are split in different ways: from NVIDIA's, the pinning package comes first.
    repository = f"{_CUDA}/debian{release}/{_machine(system)}"
    pin, package = f"nvidia-driver-pinning-{BRANCH}", "nvidia-open" if open_modules else "cuda-drivers"
    return Recipe(
        NVIDIA_REPOSITORY,
        BRANCH,
        open_modules,
        sources=(
            Source("non-free", "", system.codename, "contrib non-free non-free-firmware"),
            Source("nvidia-cuda", repository, "/", "", f"{repository}/3bf863cc.pub", CUDA_FINGERPRINT),
        ),
        first=(pin,),
        packages=(*headers, package),
        hold=(package,),
        commands=(
            f"wget {repository}/cuda-keyring_1.1-1_all.deb",
            "sudo apt-get install ./cuda-keyring_1.1-1_all.deb",
            "sudo apt-get update",
            f"sudo apt-get install {pin}",
            f"sudo apt-get install {' '.join((*headers, package))}",
            "sudo reboot",
        ),
    )


# The kernel that an Ubuntu release came with; newer ones of the flavours generic and lowlatency are HWE kernels, whose
# packages have the release in their names.
_UBUNTU_KERNEL = {"20.04": (5, 4), "22.04": (5, 15), "24.04": (6, 8), "26.04": (7, 0)}


def ubuntu_flavour(system: System) -> str:
    """What linux-modules-nvidia-… is called after: generic, generic-hwe-24.04, aws, …"""
    found = re.match(r"[\d.]+-\d+-(\S+)$", system.kernel)
    flavour = found.group(1) if found else "generic"
    first = _UBUNTU_KERNEL.get(system.version)
    newer = first is not None and version(system.kernel)[:2] > first
    return f"{flavour}-hwe-{system.version}" if newer and flavour in ("generic", "lowlatency") else flavour


def _ubuntu(system: System, floor: int, open_modules: bool) -> Recipe:
    """Modules built and signed by Canonical, so that Secure Boot takes them as they are; nothing is compiled."""
    suffix = "server-open" if open_modules else "server"
    packages = (
        f"linux-modules-nvidia-{BRANCH}-{suffix}-{ubuntu_flavour(system)}",
        f"nvidia-headless-no-dkms-{BRANCH}-{suffix}",
        f"nvidia-utils-{BRANCH}-server",
    )
    return Recipe(
        ARCHIVE,
        BRANCH,
        open_modules,
        packages=packages,
        hold=packages,
        commands=("sudo apt-get update", f"sudo apt-get install {' '.join(packages)}", "sudo reboot"),
    )


def _rhel(system: System, floor: int, open_modules: bool) -> Recipe:
    release = system.version_number
    repository = f"{_CUDA}/rhel{release}/{_machine(system)}/cuda-rhel{release}.repo"
    package = "nvidia-open" if open_modules else "cuda-drivers"
    # Streams are gone in 10, and with them the only other way to stay on a branch.
    lock = (
        (f"sudo dnf module enable nvidia-driver:{BRANCH}-{'open' if open_modules else 'dkms'}",)
        if release in (8, 9)
        else ("sudo dnf install python3-dnf-plugin-versionlock", f"sudo dnf versionlock '*nvidia*{BRANCH}*'")
    )
    return Recipe(
        NVIDIA_REPOSITORY,
        BRANCH,
        open_modules,
        commands=(
            f"sudo dnf install https://dl.fedoraproject.org/pub/epel/epel-release-latest-{release}.noarch.rpm",
            f"sudo dnf config-manager --add-repo {repository}",
            "sudo dnf install kernel-devel-$(uname -r) kernel-headers",
            *lock,
            f"sudo dnf install {package}",
            "sudo reboot",
        ),
    )


def _fedora(system: System, floor: int, open_modules: bool) -> Recipe:
    release = system.version_number
    repository = f"{_CUDA}/fedora{release}/{_machine(system)}/cuda-fedora{release}.repo"
    package = "nvidia-open" if open_modules else "cuda-drivers"
    return Recipe(
        NVIDIA_REPOSITORY,
        BRANCH,
        open_modules,
        commands=(
            f"sudo dnf config-manager addrepo --from-repofile={repository}",
            "sudo dnf install kernel-devel-$(uname -r) kernel-headers",
            f"sudo dnf versionlock add '*nvidia*{BRANCH}*'",
            f"sudo dnf install {package}",
            "sudo reboot",
        ),
    )


def toolkit(system: System) -> Recipe:
    """NVIDIA's container toolkit. Inside WSL2 as well: there it is the only thing to install."""
    cdi = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
    if system.family in ("debian", "ubuntu"):
        uri = f"{_TOOLKIT}/stable/deb/{'arm64' if system.architecture == 'aarch64' else 'amd64'}"
        return Recipe(
            NVIDIA_REPOSITORY,
            sources=(Source("nvidia-toolkit", uri, "/", "", f"{_TOOLKIT}/gpgkey", TOOLKIT_FINGERPRINT),),
            packages=("nvidia-container-toolkit",),
            commands=(
                f"curl -fsSL {_TOOLKIT}/gpgkey | sudo gpg --dearmor -o "
                "/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg",
                f"echo 'deb [signed-by=/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg] {uri} /' | "
                "sudo tee /etc/apt/sources.list.d/nvidia-container-toolkit.list",
                "sudo apt-get update && sudo apt-get install nvidia-container-toolkit",
                cdi,
            ),
        )
    if system.family in ("rhel", "fedora"):
        return Recipe(
            NVIDIA_REPOSITORY,
            commands=(
                f"curl -fsSL {_TOOLKIT}/stable/rpm/nvidia-container-toolkit.repo | "
                "sudo tee /etc/yum.repos.d/nvidia-container-toolkit.repo",
                "sudo dnf install nvidia-container-toolkit",
                cdi,
            ),
        )
    return Recipe()


def amd_driver(system: System) -> tuple[str, ...]:
    """Commands that bring amdgpu and its firmware; the kernel has both on most machines."""
    return {
        "debian": (
            "sudo sed -i 's/^Components:.*/Components: main contrib non-free non-free-firmware/' "
            "/etc/apt/sources.list.d/debian.sources",
            "sudo apt-get update",
            "sudo apt-get install firmware-amd-graphics",
            "sudo reboot",
        ),
        # On servers the module itself is in a package that is not installed.
        "ubuntu": ("sudo apt-get install linux-firmware linux-modules-extra-$(uname -r)", "sudo reboot"),
        "rhel": ("sudo dnf install linux-firmware kernel-modules-extra-$(uname -r)", "sudo reboot"),
        "fedora": ("sudo dnf install amd-gpu-firmware kernel-modules-extra-$(uname -r)", "sudo reboot"),
    }.get(system.family, ())


def rocm_driver(system: System) -> tuple[str, ...]:
    """Commands for AMD's own kernel driver, which ROCm 7 wants where the kernel's amdgpu is too old for it."""
    if system.family == "ubuntu":
        repository = "https://repo.radeon.com/amdgpu/latest/ubuntu"
        return (
            "curl -fsSL https://repo.radeon.com/rocm/rocm.gpg.key | sudo gpg --dearmor -o /etc/apt/keyrings/rocm.gpg",
            f"echo 'deb [signed-by=/etc/apt/keyrings/rocm.gpg] {repository} {system.codename} main' | "
            "sudo tee /etc/apt/sources.list.d/amdgpu.list",
            "printf 'Package: *\\nPin: release o=repo.radeon.com\\nPin-Priority: 600\\n' | "
            "sudo tee /etc/apt/preferences.d/rocm-pin-600",
            "sudo apt-get update && sudo apt-get install linux-headers-$(uname -r) amdgpu-dkms",
            "sudo reboot",
        )
    return ()


def vulkan(system: System) -> tuple[str, ...]:
    """Mesa's Vulkan drivers for an engine that runs natively; upstream's image has its own."""
    return {
        "debian": ("sudo apt-get install libvulkan1 mesa-vulkan-drivers",),
        "ubuntu": ("sudo apt-get install libvulkan1 mesa-vulkan-drivers",),
        "rhel": ("sudo dnf install vulkan-loader mesa-vulkan-drivers",),
        "fedora": ("sudo dnf install vulkan-loader mesa-vulkan-drivers",),
    }.get(system.family, ())
