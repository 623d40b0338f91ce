"""How much of a machine models can use."""

from __future__ import annotations

import dataclasses

import pytest

from gridtie.host.fit.budget import budget_for, budget_in_memory
from gridtie.host.fit.memory import GIB
from gridtie.host.gpu import INTEGRATED, Graphics
from gridtie.host.machine.bandwidth import Bandwidth
from gridtie.host.machine.hardware import Hardware, Loaded, Memory, Processor

MACHINE = Hardware(
    Processor("a processor", 8, ()), Memory(32 * GIB, 24 * GIB), bandwidth=Bandwidth(28e9, "estimated from modules")
)
CARD = Graphics("NVIDIA", "0x2684", "0000:01:00.0", 24 * GIB, 23 * GIB, name="GeForce RTX 4090", usable_by_engine=True)
APU = Graphics(
    "AMD", "0x1586", "0000:c3:00.0", 512 << 20, 512 << 20, kind=INTEGRATED, name="Radeon 8060S", usable_by_engine=True
)


def machine(*cards: Graphics, **changes: object) -> Hardware:
    return dataclasses.replace(MACHINE, graphics=cards, **changes)


def test_main_memory_leaves_a_gibibyte_of_what_is_available() -> None:
    found = budget_for(MACHINE)

    assert (found.name, found.total, found.available, found.in_use) == ("memory", 32 * GIB, 23 * GIB, 8 * GIB)


def test_private_memory_of_the_engines_idle_models_counts_as_free() -> None:
    found = budget_in_memory(machine(engine_memory=2 * GIB))

    assert (found.available, found.in_use, found.reclaimable) == (25 * GIB, 6 * GIB, 2 * GIB)


def test_a_card_leaves_the_margin_and_the_drivers_context() -> None:
    found = budget_for(machine(CARD))

    assert (found.name, found.available) == ("NVIDIA GeForce RTX 4090", 23 * GIB - GIB - GIB // 2)
    assert found.behind and found.behind.available == 23 * GIB


def test_each_of_several_cards_has_its_margin() -> None:
    found = budget_for(machine(CARD, CARD))

    assert (found.name, found.available, len(found.cards)) == ("2 cards", 43 * GIB, 2)


def test_what_the_engine_itself_holds_on_a_card_counts_as_free_and_what_others_hold_does_not() -> None:
    crowded = dataclasses.replace(CARD, free=10 * GIB)
    found = budget_for(machine(crowded, loaded=(Loaded("m:1b", 9 * GIB, 8 * GIB),)))

    assert found.available == 18 * GIB - GIB - GIB // 2
    assert (found.in_use, found.reclaimable) == (6 * GIB, 8 * GIB)


@pytest.mark.parametrize(
    "card",
    [
        dataclasses.replace(CARD, usable_by_engine=False, reason="no NVIDIA driver is loaded"),
        dataclasses.replace(CARD, memory=None, free=None),
        dataclasses.replace(APU, usable_by_engine=False),
    ],
    ids=["not usable now", "size not known", "part of the processor, left out by the engine"],
)
def test_a_card_that_the_engine_does_not_use_changes_nothing(card: Graphics) -> None:
    assert budget_for(machine(card)).name == "memory"


def test_an_engine_without_graphics_counts_main_memory() -> None:
    assert budget_for(machine(CARD), use_graphics=False).name == "memory"


def test_an_amd_processors_graphics_borrow_main_memory() -> None:
    found = budget_for(machine(APU, shared=16 * GIB))

    assert found.available == GIB // 2 + 16 * GIB - GIB
    assert found.bandwidth == pytest.approx(256e9 * 0.55)


def test_what_can_be_borrowed_is_no_more_than_what_is_available() -> None:
    assert budget_for(machine(APU, shared=64 * GIB)).available == GIB // 2 + 24 * GIB - GIB


@pytest.mark.parametrize(("available", "budget"), [(24, 20), (12, 11)])
def test_on_a_mac_the_limit_of_metal_and_what_is_available_both_count(available: int, budget: int) -> None:
    mac = machine(metal_limit=21 * GIB, memory=Memory(32 * GIB, available * GIB))
    found = budget_for(mac)

    assert (found.name, found.available) == ("unified memory (Metal)", budget * GIB)
