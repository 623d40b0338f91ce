"""Whether the engine would compute on each card as the machine is now, and why not. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .card import CUDA, DISCRETE, INTEGRATED, MANAGEMENT, ROCM, Graphics
from .chips import CUDA_CAPABILITIES, driver_floor, needs_proprietary
from .numbers import major, version

if TYPE_CHECKING:
    from .survey import Survey


def judged(survey: Survey) -> Survey:
    """The survey with each card's `usable_by_engine` and `reason`, and the cards that are on no PCI bus."""
    cards = (*survey.cards, *_off_the_bus(survey))
    return replace(survey, cards=tuple(_judge(survey, card) for card in cards))


def _off_the_bus(survey: Survey) -> tuple[Graphics, ...]:
    """Windows lends its GPU without a bus, and a Jetson's is part of its processor."""
    system = survey.system
    if system.wsl == 2 and system.dxg and system.wsl_nvidia:
        return (Graphics("NVIDIA", "", "/dev/dxg", driver="dxgkrnl", name="GPU of Windows", backend=CUDA),)
    if system.jetson:
        return (Graphics("NVIDIA", "", "tegra", name="Jetson", kind=DISCRETE, generation="Tegra", backend=CUDA),)
    return ()


def _judge(survey: Survey, card: Graphics) -> Graphics:
    card = replace(card, driver_version=_driver_version(survey, card))
    reason = _obstacle(survey, card)
    if reason:
        return replace(card, reason=reason)
    return replace(card, usable_by_engine=True, reason=_how(card))


def _driver_version(survey: Survey, card: Graphics) -> str:
    if card.driver == "nvidia":
        return survey.nvidia.loaded_version
    return survey.amdgpu.loaded_version if card.driver == "amdgpu" else ""


def _how(card: Graphics) -> str:
    of = f" {card.target}" if card.target else ""
    names = {"cuda": "CUDA, compute capability", "rocm": "ROCm,", "vulkan": "Vulkan"}
    text = names[card.backend] + (of if card.backend != "vulkan" else "")
    return text if of or card.backend == "vulkan" else text.split(",", 1)[0]


def _obstacle(survey: Survey, card: Graphics) -> str:
    """Why the engine would not use the card now; empty: it would."""
    if card.kind == MANAGEMENT:
        return "a server's remote console, which computes nothing"
    if card.kind not in (DISCRETE, INTEGRATED):
        return "a virtual display, which computes nothing"
    if card.driver == "vfio-pci":
        return "bound to vfio-pci: reserved for a virtual machine"
    if not card.backend:
        return _unsupported(card)
    if card.vendor == "NVIDIA":
        return _nvidia_obstacle(survey, card)
    return _open_driver_obstacle(survey, card)


def _unsupported(card: Graphics) -> str:
    if card.kind == INTEGRATED:
        return "part of the processor: the engine leaves it out, for it shares the memory that the processor reads"
    if card.vendor == "NVIDIA" and card.target:
        lowest = min(CUDA_CAPABILITIES, key=version)
        return f"compute capability {card.target} ({card.generation}); the engine needs {lowest} or newer"
    if card.generation:
        return f"{card.generation}, which the pinned engine's libraries do not have yet"
    return "a chip that is not in the table of known ones"


def _nvidia_obstacle(survey: Survey, card: Graphics) -> str:
    if card.driver == "dxgkrnl":
        return ""
    if survey.system.jetson:
        return "" if survey.access.node("/dev/nvhost-gpu") else "JetPack's driver is not there (/dev/nvhost-gpu)"
    if card.driver == "nouveau":
        return "bound to nouveau, on which CUDA does not run"
    if card.driver != "nvidia":
        return "no NVIDIA driver is loaded"
    if survey.nvidia.open and needs_proprietary(card.target):
        return f"{card.generation} needs the proprietary kernel modules, and the open ones are loaded"
    floor = driver_floor(card.target)
    if 0 < major(card.driver_version) < floor:
        return f"driver {card.driver_version} is too old: the engine needs {floor} or newer for this card"
    if survey.nvidia.mismatch:
        return f"a reboot is pending: {survey.nvidia.mismatch}"
    if not survey.uvm.loaded:
        return "the kernel module nvidia_uvm is not loaded, without which CUDA finds no card"
    return ""


def _open_driver_obstacle(survey: Survey, card: Graphics) -> str:
    """AMD and Intel: the kernel's own drivers."""
    wanted = {"AMD": ("amdgpu",), "Intel": ("i915", "xe")}[card.vendor]
    if card.driver not in wanted:
        return f"bound to {card.driver or 'no driver'}, and the engine needs {' or '.join(wanted)}"
    if survey.amdgpu.mismatch and card.vendor == "AMD":
        return f"a reboot is pending: {survey.amdgpu.mismatch}"
    if card.backend == ROCM and not survey.access.node("/dev/kfd"):
        return "there is no /dev/kfd, through which ROCm computes"
    if not survey.access.render_nodes:
        return "there is no /dev/dri/renderD*, through which programs compute"
    return ""
