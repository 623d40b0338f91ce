"""The order of a measurement: every row meets every mood of the machine, and neither way has the better place."""

from __future__ import annotations

from collections import Counter

from gridtie.bench.plan import BESIDE, ROUTER, blocks
from gridtie.bench.profiles import PROFILES

CHAT, CACHE = PROFILES["chat"], PROFILES["cache"]
WAYS = (ROUTER, BESIDE)


def test_every_row_has_its_share_of_every_round() -> None:
    planned = blocks([CHAT, PROFILES["batch"]], (1, 4), WAYS, 20, 4)
    rounds = [planned[at : at + 8] for at in range(0, 32, 8)]

    assert len(planned) == 32
    assert [block.number for block in planned] == list(range(32))
    assert all(
        {(block.profile.name, block.concurrency, block.way) for block in each}
        == {(name, at_once, way) for name in ("chat", "batch") for at_once in (1, 4) for way in WAYS}
        for each in rounds
    )


def test_which_way_goes_first_alternates() -> None:
    planned = blocks([CHAT], (1,), WAYS, 20, 4)

    assert [block.way for block in planned] == [ROUTER, BESIDE, BESIDE, ROUTER, ROUTER, BESIDE, BESIDE, ROUTER]


def test_a_row_gets_at_least_the_requests_that_were_asked_for() -> None:
    planned = blocks([CHAT], (1,), (ROUTER,), 10, 4)

    assert sum(block.requests for block in planned) == 12


def test_a_block_has_no_fewer_requests_than_go_at_once() -> None:
    assert {block.requests for block in blocks([CHAT], (8,), (ROUTER,), 8, 4)} == {8}


def test_a_cache_is_asked_one_at_a_time_whatever_is_wanted() -> None:
    planned = blocks([CHAT, CACHE], (2, 4), (ROUTER,), 8, 2)

    assert Counter((block.profile.name, block.concurrency) for block in planned) == {
        ("chat", 2): 2, ("chat", 4): 2, ("cache", 1): 2,
    }  # fmt: skip
