"""How a container is given the cards: which compose overlay, and what it must be told. Pure."""

from __future__ import annotations

from typing import Any

from . import devices
from .card import CUDA, DISCRETE, ROCM, VULKAN
from .needs import Verdict, jetpack
from .numbers import version
from .survey import Survey

# Docker reads CDI specifications from 25.0 on where its `features` say so, and by default from 28.2 on.
CDI_FEATURE_FROM, CDI_DEFAULT_FROM = (25,), (28, 2)

# Made for the cards that were named, in place of the first two; beside the third, which it adds a variable to.
CHOSEN = "engine.devices.yaml"
NVIDIA_CDI, NVIDIA_RUNTIME, DRI = "engine.nvidia.yaml", "engine.nvidia-runtime.yaml", "engine.amd.yaml"


def overlay(found: Verdict, survey: Survey, docker_version: str) -> str:
    """The compose files that give the engine's container its cards; empty: it computes on the processor.

    CDI comes first. Docker's own `driver: nvidia` is what is left where Docker is too old for it or was told nothing of
    it: it takes the toolkit's hook, and on newer versions CDI again.
    """
    if found.backend == CUDA:
        if devices.container_ids(survey):
            return CHOSEN
        return NVIDIA_CDI if _by_cdi(survey, docker_version) else NVIDIA_RUNTIME
    if found.backend in (ROCM, VULKAN):
        return f"{DRI}:{CHOSEN}" if devices.environment(survey) else DRI
    return ""


def _by_cdi(survey: Survey, docker_version: str) -> bool:
    docker = version(docker_version)
    reads = docker >= CDI_DEFAULT_FROM or (docker >= CDI_FEATURE_FROM and survey.access.docker_cdi)
    return bool(survey.access.cdi) and reads


def chosen(survey: Survey, docker_version: str) -> dict[str, Any]:
    """What confines an engine to some of the cards: Docker's devices, by which driver, for NVIDIA's in a container;
    variables for everything else. All empty where it may use all of them."""
    by_cdi = _by_cdi(survey, docker_version)
    return {
        "driver": "cdi" if by_cdi else "nvidia",
        "device_ids": devices.container_ids(survey, "nvidia.com/gpu=" if by_cdi else ""),
        "environment": devices.environment(survey),
    }


def settings(found: Verdict, survey: Survey) -> dict[str, str]:
    """The overlay's variables for compose's .env.

    The group that may use the nodes (`render` on today's systems) is a number, for the image knows no names.
    """
    nodes = [node for node in survey.access.nodes if node.path == "/dev/kfd"] + list(survey.access.render_nodes)
    own = {
        "GRIDTIE_GPU_GROUP": str(next((node.gid for node in nodes if node.gid), 0)),
        # Without AMD's compute driver there is no such device, and Docker would refuse to start the container.
        "GRIDTIE_GPU_COMPUTE_DEVICE": "/dev/kfd" if survey.access.node("/dev/kfd") else "/dev/null",
    }
    told = {"GRIDTIE_GPU_JETPACK": str(jetpack(survey))} if jetpack(survey) else {}
    return {**(own if found.backend in (ROCM, VULKAN) else {}), **told}


def image_variant(found: Verdict) -> str:
    """The variant of upstream's image: ROCm's libraries are in one of their own, which has no others."""
    return ROCM if found.backend == ROCM else ""


def idle(survey: Survey) -> list[str]:
    """Titles of the cards that a build for the processor alone would leave idle."""
    return [card.title for card in survey.cards if card.expected and card.kind == DISCRETE]


def plan(found: Verdict, survey: Survey, docker_version: str) -> dict[str, Any]:
    """Everything that the engine's role needs to know."""
    return {
        "backend": found.backend,
        "overlay": overlay(found, survey, docker_version),
        "variant": image_variant(found),
        "settings": settings(found, survey),
        "chosen": chosen(survey, docker_version),
    }
