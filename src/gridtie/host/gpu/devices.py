"""Which of a machine's cards the engine may use, named by number or by UUID (gridtie_gpu_devices). Pure.

What is left out counts for nothing afterwards: neither is its memory anybody's, nor is it a fault that it lies idle.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Iterable, Mapping

from .card import CUDA, DISCRETE, INTEGRATED, ROCM, VULKAN, Graphics
from .survey import Survey

ALL = "all"
LEFT_OUT = "left out by gridtie_gpu_devices"
_NUMBER = re.compile(r"\d+")
_VENDORS = {CUDA: "NVIDIA", ROCM: "AMD"}
_DRIVERS = {CUDA: "nvidia", ROCM: "amdgpu"}


class DeviceError(ValueError):
    """Cards were named that are not there, or that cannot be told apart. `fix` says what to do."""

    def __init__(self, found: str, fix: str) -> None:
        super().__init__(found)
        self.fix = fix


def asked(value: Any) -> tuple[str, ...]:
    """The names in what a person wrote: a list, or names with commas between them; none for `all`."""
    names = value if isinstance(value, (list, tuple)) else str("" if value is None else value).split(",")
    found = tuple(dict.fromkeys(str(name).strip() for name in names if str(name).strip()))
    return () if found == (ALL,) else found


def of_station(station: Mapping[str, Any]) -> tuple[str, ...]:
    """The same from a station.json."""
    return asked((station.get("expected") or {}).get("gpu_devices"))


def numbered(survey: Survey) -> tuple[Graphics, ...]:
    """The cards of the engine's library in the order of their numbers, which is that of the PCI bus.

    So `nvidia-smi` numbers NVIDIA's and `rocminfo` AMD's, which know what their driver has taken: what it does not take
    comes after those. What is reserved for a virtual machine has no number.
    """
    cards = [card for card in survey.cards if card.kind in (DISCRETE, INTEGRATED) and card.driver != "vfio-pci"]
    chosen = [card for card in cards if not card.left_out] or cards
    for backend in (CUDA, ROCM, VULKAN):
        if any(card.backend == backend for card in chosen):
            vendor, driver = _VENDORS.get(backend), _DRIVERS.get(backend)
            found = [card for card in cards if (card.vendor == vendor if vendor else card.backend == backend)]
            loaded = any(card.driver == driver for card in found)
            return tuple(sorted(found, key=lambda card: card.driver != driver if loaded else not card.backend))
    return ()


def narrowed(survey: Survey, names: Iterable[str]) -> Survey:
    """The survey with all cards left out that are not named. Raises DeviceError."""
    names = tuple(names)
    if not names:
        return survey
    chosen = {card.address for name in names for card in [_find(survey, name)]}
    if len({card.backend for card in survey.cards if card.address in chosen}) > 1:
        raise DeviceError(
            f"gridtie_gpu_devices names cards of different libraries ({', '.join(names)}), and an engine uses one",
            f"name cards of one maker: {_told(survey)}",
        )
    cards = tuple(card if card.address in chosen else _left_out(card) for card in survey.cards)
    found = replace(survey, cards=cards, devices=names)
    left = [card.title for card in found.cards if card.left_out]
    if left and any(card.backend == VULKAN for card in found.cards if card.address in chosen):
        raise DeviceError(
            f"gridtie_gpu_devices leaves out {', '.join(left)}, and Vulkan numbers its devices by itself, in an order "
            "that cannot be seen beforehand",
            "leave gridtie_gpu_devices out, or take the card away from the machine's driver (vfio-pci)",
        )
    return found


def environment(survey: Survey) -> dict[str, str]:
    """The variables by which a program sees the chosen cards alone; none where nothing is left out.

    Both makers' own, by UUID where all were named so: CUDA orders cards by their speed unless it is told otherwise.
    Vulkan, which Ollama asks as well, would show those that are left out once more.
    """
    cards = numbered(survey)
    if not any(card.left_out for card in survey.cards) or not cards:
        return {}
    visible = ",".join(_visible(survey, cards))
    no_vulkan = {"GGML_VK_VISIBLE_DEVICES": "-1"}
    if cards[0].vendor == "NVIDIA":
        return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": visible, **no_vulkan}
    # NVIDIA's own variable is no way to hide those: AMD's library obeys it as well.
    beside = any(card.vendor == "NVIDIA" and card.left_out for card in survey.cards)
    return {**({"OLLAMA_LLM_LIBRARY": "rocm"} if beside else {}), "ROCR_VISIBLE_DEVICES": visible, **no_vulkan}


def container_ids(survey: Survey, prefix: str = "") -> list[str]:
    """The chosen NVIDIA cards as Docker's `device_ids`, numbers with a prefix; empty where none is left out."""
    cards = numbered(survey)
    if not any(card.left_out for card in cards) or cards[0].vendor != "NVIDIA":
        return []
    return [f"{prefix}{number}" for number, card in enumerate(cards) if _is_used(card)]


def _visible(survey: Survey, cards: tuple[Graphics, ...]) -> list[str]:
    by_number = any(_NUMBER.fullmatch(name) for name in survey.devices)
    return [str(number) if by_number else card.uuid for number, card in enumerate(cards) if _is_used(card)]


def _is_used(card: Graphics) -> bool:
    # What the engine cannot use is not left out, and may have neither a UUID nor a number that its driver knows.
    return bool(card.backend) and not card.left_out


def _left_out(card: Graphics) -> Graphics:
    # What the engine would not have used keeps its own reason.
    return replace(card, usable_by_engine=False, left_out=True, reason=LEFT_OUT) if card.backend else card


def _find(survey: Survey, name: str) -> Graphics:
    cards = numbered(survey)
    if _NUMBER.fullmatch(name):
        found = cards[int(name)] if int(name) < len(cards) else None
    else:
        found = next((card for card in survey.cards if card.uuid and card.uuid.lower() == name.lower()), None)
    if found is None:
        raise DeviceError(f"gridtie_gpu_devices names {name}, which {_why_not(survey, name)}", _what_to_name(survey))
    if not found.backend:
        raise DeviceError(
            f"gridtie_gpu_devices names {name}, {found.title}, which the engine does not use: {found.reason}",
            _what_to_name(survey),
        )
    return found


def _why_not(survey: Survey, name: str) -> str:
    if name.upper().startswith("MIG-"):
        return "is a slice of a card (MIG): what memory it has cannot be seen beforehand"
    by_uuid = not _NUMBER.fullmatch(name)
    if by_uuid and numbered(survey) and not any(card.uuid for card in survey.cards):
        return "is not known: a UUID is told by the driver, and none that tells it is loaded"
    return "is no card of this machine"


def _what_to_name(survey: Survey) -> str:
    return f"name some of these: {_told(survey)}" if numbered(survey) else "leave it out: no card here can be named"


def _told(survey: Survey) -> str:
    """The cards with both of their names."""
    return "; ".join(
        f"{number} ({card.title} at {card.address}{f', {card.uuid}' if card.uuid else ''})"
        for number, card in enumerate(numbered(survey))
    )
