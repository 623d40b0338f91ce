"""What stands between the engine and the cards, each with what to do: pure, from a survey.

A need is a `problem` where a card that the engine supports would lie idle, else a `note`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional

from . import recipes
from .card import CUDA, DISCRETE, INTEGRATED, MANAGEMENT, ROCM, VIRTUAL, VULKAN, Graphics
from .chips import driver_floor, needs_proprietary
from .numbers import at_least, major
from .survey import Survey

PROBLEM, NOTE = "problem", "note"
CONTAINER, NATIVE = "container", "native"

# From 1.18 on, a unit of the toolkit keeps the CDI specification fresh.
CDI_REFRESH_FROM = (1, 18)


@dataclass(frozen=True)
class Need:
    """One thing that is missing or worth knowing. `code` names it for programs."""

    code: str
    found: str
    fix: str = ""
    commands: tuple[str, ...] = ()
    level: str = PROBLEM


@dataclass(frozen=True)
class Verdict:
    """What the engine would compute on as the machine is now, and what is in the way of more."""

    # "cuda", "rocm", "vulkan", or "" for the processor.
    backend: str
    cards: tuple[Graphics, ...]
    needs: tuple[Need, ...]
    # A driver waits for a reboot; why.
    reboot: str = ""

    @property
    def problems(self) -> tuple[Need, ...]:
        return tuple(need for need in self.needs if need.level == PROBLEM)

    @property
    def title(self) -> str:
        """The backend for people."""
        return {CUDA: "NVIDIA (CUDA)", ROCM: "AMD (ROCm)", VULKAN: "Vulkan"}.get(self.backend, "the processor")


def verdict(survey: Survey, mode: str = CONTAINER) -> Verdict:
    """The judgement of a machine for an engine that runs in a `mode`."""
    usable = tuple(card for card in survey.cards if card.usable_by_engine)
    found = tuple(_needs(survey, mode))
    blocked = {need.code for need in found if need.level == PROBLEM}
    # One engine uses one vendor's library; CUDA and ROCm come before Vulkan, as its discovery has it.
    for backend in (CUDA, ROCM, VULKAN):
        cards = tuple(card for card in usable if card.backend == backend)
        if cards and not (backend == CUDA and mode == CONTAINER and blocked & {"toolkit", "cdi"}):
            return Verdict(backend, cards, found, reboot_pending(survey))
    return Verdict("", (), found, reboot_pending(survey))


def reboot_pending(survey: Survey) -> str:
    """Why a reboot is due, derived from what is loaded and what is installed; empty: none is."""
    for name, module in (("NVIDIA", survey.nvidia), ("amdgpu", survey.amdgpu)):
        if module.mismatch:
            return f"{name}: {module.mismatch}"
    waiting = [card for card in _of(survey, "NVIDIA") if card.driver == "nouveau" and survey.nvidia.installed]
    if waiting:
        return f"NVIDIA's driver {survey.nvidia.installed_version} is installed, and nouveau still has the card"
    return ""


def _of(survey: Survey, vendor: str) -> tuple[Graphics, ...]:
    return tuple(card for card in survey.expected if card.vendor == vendor)


def _needs(survey: Survey, mode: str) -> Iterator[Need]:
    if survey.system.wsl:
        yield from _wsl(survey, mode)
        return
    if survey.system.jetson:
        yield from _jetson(survey)
        return
    if _of(survey, "NVIDIA"):
        yield from _nvidia(survey)
        if mode == CONTAINER:
            yield from _containers(survey)
    for card in survey.expected:
        if card.vendor in ("AMD", "Intel"):
            yield from _open_driver(survey, card, mode)
    yield from _information(survey)


# -- NVIDIA ----------------------------------------------------------------------------------------------------------


def _capabilities(survey: Survey) -> tuple[str, ...]:
    return tuple(card.target for card in _of(survey, "NVIDIA") if card.target)


def _recipe(survey: Survey) -> recipes.Recipe:
    return recipes.driver(survey.system, _capabilities(survey), survey.access.held)


def _nvidia(survey: Survey) -> Iterator[Need]:
    pending = reboot_pending(survey)
    if pending:
        yield Need("reboot", f"a reboot is pending: {pending}", "reboot this machine", ("sudo reboot",))
        return
    module = survey.nvidia
    if module.installed and not module.loaded:
        yield _not_loaded(survey)
    elif not module.loaded:
        yield from _no_driver(survey)
    else:
        yield from _loaded(survey)


def _not_loaded(survey: Survey) -> Need:
    system = survey.system
    if (system.secure_boot and not survey.nvidia.signed) or system.lockdown in ("integrity", "confidentiality"):
        return _unsigned(survey)
    return Need(
        "module",
        f"NVIDIA's kernel module {survey.nvidia.installed_version} is installed and not loaded",
        "load it; the kernel's log says why it was not",
        ("sudo modprobe nvidia nvidia_uvm", "sudo dmesg | grep -i -e nvidia -e nvrm | tail"),
    )


def _unsigned(survey: Survey) -> Need:
    """Secure Boot: the module that DKMS built is signed by a key that the firmware does not know yet."""
    found = "Secure Boot is on, and the kernel refuses NVIDIA's module, which was built and signed here"
    if survey.system.family == "ubuntu":
        recipe = _recipe(survey)
        return Need(
            "secure_boot", found, "take the modules that Canonical signed instead of the ones from DKMS",
            recipe.commands,
        )  # fmt: skip
    return Need(
        "secure_boot",
        found,
        "enrol the key of this machine's modules: choose a password, reboot, and give it to the blue screen (MOK)",
        (_mok(survey), "sudo reboot"),
    )


def _mok(survey: Survey) -> str:
    return "sudo mokutil --import /var/lib/dkms/mok.pub"


def _no_driver(survey: Survey) -> Iterator[Need]:
    cards, recipe = _of(survey, "NVIDIA"), _recipe(survey)
    bound = " (nouveau has it, on which CUDA does not run)" if any(c.driver == "nouveau" for c in cards) else ""
    branch = f"driver {recipe.branch} with {'open' if recipe.open else 'proprietary'} modules" if recipe.branch else ""
    yield Need(
        "driver",
        f"no NVIDIA driver for {_titles(cards)}{bound}",
        f"install {branch}" if branch else "install NVIDIA's driver as your distribution describes it",
        recipe.commands,
    )
    yield from _before_driver(survey, recipe)


def _before_driver(survey: Survey, recipe: recipes.Recipe) -> Iterator[Need]:
    """What an installation would stumble over."""
    system, access = survey.system, survey.access
    prebuilt = system.family == "ubuntu"
    if not (system.headers or prebuilt):
        yield Need(
            "headers",
            f"no headers for the running kernel {system.kernel}: a module cannot be built for it",
            "install them; where the archive no longer has them, upgrade the kernel and reboot first",
            _headers(survey),
            NOTE,
        )
    if access.held:
        yield Need(
            "held",
            f'held packages: {", ".join(access.held)}; apt refuses to change the branch ("held broken packages")',
            "let them go before a change of branch",
            (f"sudo apt-mark unhold {' '.join(access.held)}",),
            NOTE,
        )
    if system.secure_boot and not prebuilt:
        yield Need(
            "mok",
            "Secure Boot is on: a module that is built here must be signed by a key that the firmware knows",
            "after the installation enrol that key: choose a password, reboot, and give it to the blue screen (MOK)",
            (_mok(survey),),
            NOTE,
        )


def _headers(survey: Survey) -> tuple[str, ...]:
    name = "kernel-devel" if survey.system.family in ("rhel", "fedora") else "linux-headers"
    tool = "dnf" if survey.system.family in ("rhel", "fedora") else "apt-get"
    return (f"sudo {tool} install {name}-{survey.system.kernel}",)


def _loaded(survey: Survey) -> Iterator[Need]:
    module, recipe = survey.nvidia, _recipe(survey)
    for card in _of(survey, "NVIDIA"):
        floor = driver_floor(card.target)
        if 0 < major(module.loaded_version) < floor:
            yield Need(
                "old_driver",
                f"driver {module.loaded_version} is too old for {card.title}: the engine needs {floor} or newer",
                f"install driver {recipe.branch}" if recipe.branch else "install a newer driver",
                recipe.commands,
            )
            yield from _before_driver(survey, recipe)
            return
        if module.open and needs_proprietary(card.target):
            yield Need(
                "flavour",
                f"{card.title} ({card.generation}) needs the proprietary kernel modules, and the open ones are loaded",
                f"install driver {recipe.branch} with proprietary modules",
                recipe.commands,
            )
            return
    if not survey.uvm.loaded:
        yield Need(
            "uvm",
            "the kernel module nvidia_uvm is not loaded (a suspend can lose it): CUDA finds no card without it",
            "load it, then start the engine again",
            ("sudo modprobe nvidia_uvm", "sudo nvidia-modprobe -u -c 0"),
        )
    missing = [path for path in ("/dev/nvidiactl", "/dev/nvidia-uvm") if not survey.access.node(path)]
    if missing and survey.uvm.loaded:
        yield Need(
            "nodes",
            f"there is no {' and no '.join(missing)}, through which programs reach the card",
            "make the device nodes",
            ("sudo nvidia-modprobe -u -c 0",),
        )


def _containers(survey: Survey) -> Iterator[Need]:
    """CDI first; the runtime of the toolkit as a fallback, never as the default one."""
    system, access = survey.system, survey.access
    recipe = recipes.toolkit(system)
    if not access.toolkit:
        yield Need(
            "toolkit",
            "NVIDIA's container toolkit is not installed: containers cannot use the card",
            "install nvidia-container-toolkit and let it write the CDI specification",
            recipe.commands,
        )
    elif not (access.cdi or access.docker_runtime):
        yield Need(
            "cdi",
            "there is no CDI specification of NVIDIA's GPUs (/etc/cdi, /var/run/cdi), and Docker has no such runtime",
            "let the toolkit write it" + (" again after each driver update" if not access.cdi_refresh else ""),
            ("sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",),
        )
    if access.toolkit_version and not at_least(access.toolkit_version, CDI_REFRESH_FROM):
        yield Need(
            "old_toolkit",
            f"container toolkit {access.toolkit_version}: its CDI specification is stale after each driver update",
            "upgrade it to 1.18 or newer, which keeps the specification fresh",
            ("sudo apt-get install --only-upgrade nvidia-container-toolkit",),
            NOTE,
        )
    if access.docker_default_runtime == "nvidia":
        yield Need(
            "default_runtime",
            "Docker's default runtime is nvidia: every container on this machine gets it, wanted or not",
            "take default-runtime out of /etc/docker/daemon.json; the station does not need it",
            level=NOTE,
        )


# -- AMD and Intel ---------------------------------------------------------------------------------------------------


def _open_driver(survey: Survey, card: Graphics, mode: str) -> Iterator[Need]:
    wanted = ("amdgpu",) if card.vendor == "AMD" else ("i915", "xe")
    if survey.amdgpu.mismatch and card.vendor == "AMD":
        yield Need("reboot", f"a reboot is pending: amdgpu: {survey.amdgpu.mismatch}", "reboot", ("sudo reboot",))
    elif card.driver not in wanted:
        yield _unbound(survey, card, wanted)
    elif card.backend == ROCM and not survey.access.node("/dev/kfd"):
        yield Need(
            "kfd",
            f"there is no /dev/kfd, through which ROCm reaches {card.title}",
            "use a kernel with AMD's compute driver, or AMD's own",
            recipes.rocm_driver(survey.system),
        )
    elif not survey.access.render_nodes:
        yield Need("nodes", f"there is no /dev/dri/renderD* for {card.title}", "look at `dmesg | grep -i drm`")
    if card.backend == VULKAN and mode == NATIVE and not survey.access.vulkan_driver:
        yield Need(
            "vulkan",
            f"no Vulkan driver on this machine, through which the engine would use {card.title}",
            "install Mesa's",
            recipes.vulkan(survey.system),
        )


def _unbound(survey: Survey, card: Graphics, wanted: tuple[str, ...]) -> Need:
    found = f"{card.title} is bound to {card.driver or 'no driver'}; the engine needs {' or '.join(wanted)}"
    if card.driver == "radeon":
        # The kernel leaves the first generations to the old driver unless it is told otherwise.
        option = "radeon.si_support=0 radeon.cik_support=0 amdgpu.si_support=1 amdgpu.cik_support=1"
        return Need("driver", found, f"add to the kernel's command line: {option}", ("sudo reboot",))
    commands = recipes.amd_driver(survey.system) if card.vendor == "AMD" else ()
    return Need(
        "driver", found, "install firmware and module, then reboot" if commands else "use a newer kernel", commands
    )


# -- where there is no bus -------------------------------------------------------------------------------------------


def _wsl(survey: Survey, mode: str) -> Iterator[Need]:
    """Windows has the driver; one installed inside would hide the library that Windows lends."""
    system, never = survey.system, "never install a Linux driver inside WSL"
    if system.wsl == 1:
        yield Need(
            "wsl1", "this is WSL1, which has neither containers nor GPUs", "wsl --set-version <name> 2", level=NOTE
        )
    elif not system.dxg:
        yield Need(
            "wsl_gpu", "Windows lends no GPU to this WSL2 (/dev/dxg)",
            f"on Windows: update its graphics driver and run `wsl --update`; {never}", level=NOTE,
        )  # fmt: skip
    elif not system.wsl_nvidia:
        yield Need(
            "wsl_gpu",
            "Windows lends a GPU (/dev/dxg) without NVIDIA's library (/usr/lib/wsl/lib): it is another vendor's, which "
            "the engine cannot use here, or Windows has no NVIDIA driver",
            f"for an NVIDIA card install its driver on Windows; {never}",
            level=NOTE,
        )
    elif mode == CONTAINER:
        yield from _containers(survey)


def _jetson(survey: Survey) -> Iterator[Need]:
    release = major(survey.system.jetson[1:])
    if release not in (35, 36):
        yield Need(
            "jetpack",
            f"Jetson Linux {survey.system.jetson}: the engine has libraries for 35 (JetPack 5) and 36 (JetPack 6)",
            "newer ones run the libraries of ARM servers; older ones compute on the processor",
            level=NOTE,
        )


def jetpack(survey: Survey) -> Optional[int]:
    """What the engine's container must be told in JETSON_JETPACK; None on everything else."""
    return {35: 5, 36: 6}.get(major(survey.system.jetson[1:])) if survey.system.jetson else None


def _information(survey: Survey) -> Iterator[Need]:
    """What a person may wonder about. None of it is a fault."""
    for card in survey.cards:
        if card.kind in (MANAGEMENT, VIRTUAL, INTEGRATED) or not card.expected:
            yield Need(
                card.kind if card.kind != DISCRETE else "unsupported", f"{card.title}: {card.reason}", level=NOTE
            )
    real = any(card.kind in (DISCRETE, INTEGRATED) for card in survey.cards)
    if survey.system.hypervisor and not real:
        yield Need(
            "virtual_machine",
            f"a virtual machine ({survey.system.hypervisor}) that was given no GPU",
            "the host's GPU can be passed through (PCI passthrough), if it has one",
            level=NOTE,
        )


def _titles(cards: tuple[Graphics, ...]) -> str:
    names = [card.title for card in cards]
    return ", ".join(
        f"{names.count(name)} x {name}" if names.count(name) > 1 else name for name in dict.fromkeys(names)
    )
