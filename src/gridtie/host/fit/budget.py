"""Where the engine keeps models on a machine, and how much of it can be used. Pure.

One truth for `gridtie fit` and the models role: `budget_for`. What is free counts, not what is built in; what the
engine itself holds in idle models counts as free, since Ollama unloads them when another model needs the memory.
"""

from __future__ import annotations

from ..gpu import DISCRETE, INTEGRATED, Graphics
from ..machine.bandwidth import card_bandwidth
from ..machine.hardware import Hardware
from .memory import GPU_CONTEXT, MARGIN
from .placement import MAIN_MEMORY, Budget, Device


def budget_for(hardware: Hardware, use_graphics: bool = True) -> Budget:
    """The memory that the engine takes: its cards, memory shared with graphics, else main memory.

    Cards count where the engine would compute on them now and their memory is known. `use_graphics` is off for an
    engine that computes on the processor alone, whatever is built in.
    """
    if use_graphics and hardware.metal_limit:
        return _unified(hardware, "unified memory (Metal)", hardware.metal_limit)
    usable = [card for card in hardware.graphics if card.usable_by_engine and use_graphics]
    cards = [card for card in usable if card.kind == DISCRETE and card.memory]
    if cards:
        return _on_cards(hardware, cards)
    integrated = [card for card in usable if card.kind == INTEGRATED]
    if integrated and hardware.shared is not None:
        return _shared(hardware, integrated[0], hardware.shared)
    return budget_in_memory(hardware)


def budget_in_memory(hardware: Hardware) -> Budget:
    """Main memory: what is available, less the margin that llama.cpp keeps as well."""
    memory, bandwidth = hardware.memory, hardware.bandwidth
    free = min(memory.total, memory.available + hardware.engine_memory)
    return Budget(
        name=MAIN_MEMORY,
        total=memory.total,
        available=max(0, free - MARGIN),
        bandwidth=bandwidth.bytes_per_second if bandwidth else None,
        bandwidth_source=bandwidth.source if bandwidth else "",
        in_use=memory.total - free,
        reclaimable=hardware.engine_memory,
    )


def _unified(hardware: Hardware, name: str, limit: int) -> Budget:
    """Memory that graphics and processor share: no more than the limit for graphics, nor than what is available."""
    memory = budget_in_memory(hardware)
    return Budget(
        name=name,
        total=limit,
        available=max(0, min(limit - MARGIN, memory.available)),
        bandwidth=memory.bandwidth,
        bandwidth_source=memory.bandwidth_source,
        in_use=memory.in_use,
        reclaimable=memory.reclaimable,
    )


def _shared(hardware: Hardware, card: Graphics, borrowed: int) -> Budget:
    """An AMD processor's own graphics: what the firmware set aside for it, and what it may borrow of main memory."""
    memory = budget_in_memory(hardware)
    own = card.memory or 0
    own_free = own if card.free is None else card.free
    speed = card_bandwidth(card.vendor, card.name)
    return Budget(
        name="memory shared with the processor's graphics",
        total=own + borrowed,
        available=max(0, own_free + min(borrowed, memory.available + MARGIN) - MARGIN),
        bandwidth=speed.bytes_per_second if speed else memory.bandwidth,
        bandwidth_source=speed.source if speed else memory.bandwidth_source,
        in_use=memory.in_use,
        reclaimable=memory.reclaimable,
    )


def _on_cards(hardware: Hardware, cards: list[Graphics]) -> Budget:
    held = sum(model.vram for model in hardware.loaded)
    taken = [(card.memory or 0) - _free(card) for card in cards]
    devices, sources = [], []
    for card, used in zip(cards, taken):
        speed = card_bandwidth(card.vendor, card.name)
        sources.append(speed.source if speed else f"nothing is known of {card.title}")
        # What is loaded does not say on which card it lies; it is spread as the cards are used.
        own = min(used, round(held * used / sum(taken))) if held and sum(taken) else 0
        free = _free(card) + own - MARGIN - GPU_CONTEXT
        devices.append(Device(card.title, card.memory or 0, max(0, free), speed.bytes_per_second if speed else None))
    memory = budget_in_memory(hardware)
    name = devices[0].name if len(devices) == 1 else f"{len(devices)} cards"
    reclaimable = min(held, sum(taken))
    return Budget(
        name=name,
        total=sum(device.total for device in devices),
        available=sum(device.available for device in devices),
        bandwidth=min((device.bandwidth for device in devices if device.bandwidth), default=None),
        bandwidth_source="; ".join(dict.fromkeys(sources)),
        cards=tuple(devices),
        behind=Device(memory.name, memory.total, memory.available, memory.bandwidth),
        in_use=sum(taken) - reclaimable,
        reclaimable=reclaimable,
    )


def _free(card: Graphics) -> int:
    return (card.memory or 0) if card.free is None else card.free
