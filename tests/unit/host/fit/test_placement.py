"""Where a model lies: one memory, one card, several, or partly in main memory."""

from __future__ import annotations

import pytest

from gridtie.host.fit.memory import Need
from gridtie.host.fit.offload import Part, Parts
from gridtie.host.fit.placement import Budget, Device, best_placement

# Nine blocks and what comes after them: ten layers of 100 bytes, and 50 for each device that takes part.
NEED = Need(weights=820, kv=180, compute=50)
BLOCKS = Parts((Part(80),) * 9, output=100)


def budget(*cards: int, behind: int = 0, slow: float | None = 10.0) -> Budget:
    devices = tuple(Device(f"card {index}", size, size, 100.0) for index, size in enumerate(cards))
    return Budget("cards", sum(cards), sum(cards), cards=devices, behind=Device("memory", behind, behind, slow))


def test_in_one_memory_a_model_fits_or_does_not() -> None:
    enough, too_little = (best_placement(NEED, BLOCKS, Budget("memory", 2000, free)) for free in (1050, 1049))

    assert (enough.whole, enough.layers) == (True, 10)
    assert (too_little.whole, too_little.possible) == (False, False)


def test_one_card_is_taken_where_one_has_room() -> None:
    found = best_placement(NEED, BLOCKS, budget(500, 1050))

    assert (found.whole, found.cards) == (True, 1)


def test_several_cards_share_the_layers_and_each_has_its_own_buffers() -> None:
    """Together 1100 bytes: ten layers and two buffers. 1099 are a layer short, although 1050 would do on one card."""
    assert best_placement(NEED, BLOCKS, budget(550, 550)).whole
    assert not best_placement(NEED, BLOCKS, budget(550, 549)).whole


def test_a_card_without_room_for_a_single_layer_takes_no_part() -> None:
    assert best_placement(NEED, BLOCKS, budget(1049, 149, 149)).whole is False
    assert best_placement(NEED, BLOCKS, budget(949, 251, 100)).cards == 2


def test_what_no_card_takes_goes_to_main_memory_where_there_is_room() -> None:
    found = best_placement(NEED, BLOCKS, budget(650, behind=450))

    assert (found.whole, found.possible, found.layers) == (False, True, 6)


@pytest.mark.parametrize("behind", [0, 449])
def test_without_room_behind_the_cards_it_does_not_run(behind: int) -> None:
    assert not best_placement(NEED, BLOCKS, budget(650, behind=behind)).possible


def test_every_part_is_read_at_the_speed_of_its_place() -> None:
    """500 of 820 bytes at 100 bytes a second: what comes after the last block, and five blocks. The rest at 10."""
    assert best_placement(NEED, BLOCKS, budget(650, behind=1000)).seconds(820) == pytest.approx(5 + 32)


def test_nothing_is_said_of_the_speed_where_a_place_is_unknown() -> None:
    assert best_placement(NEED, BLOCKS, budget(650, behind=1000, slow=None)).seconds(1000) is None
    assert best_placement(NEED, BLOCKS, Budget("memory", 10, 10)).seconds(1000) is None
