"""Who comes first among targets that share a place: by weight, the same for the same request."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.providers.target import Target
from gridtie.routing.shares import drawn


class One(msgspec.Struct, frozen=True):
    target: Target
    rank: int
    weight: int


def several(**weights: int) -> list[One]:
    """Targets of one rank by their names."""
    return [One(target(name), 0, weight) for name, weight in weights.items()]


def target(name: str) -> Target:
    return Target(id=name, provider=name, model="m", locality="cloud", dialect="openai", base_url="https://x.example")


def order(candidates: list[One], lot: str) -> list[str]:
    return [each.target.id for each in drawn(candidates, lot)]


LOTS = [f"request-{number:06x}" for number in range(20_000)]


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1}, {"a": 3, "b": 1}, {"a": 1, "b": 2, "c": 7}, {"a": 1, "b": 999}])
def test_each_is_first_by_its_part_of_the_weights(weights: dict[str, int]) -> None:
    first = Counter(order(several(**weights), lot)[0] for lot in LOTS)

    whole = sum(weights.values())
    for name, weight in weights.items():
        part = weight / whole
        # Six standard deviations of so many draws.
        assert abs(first[name] / len(LOTS) - part) < 6 * (part * (1 - part) / len(LOTS)) ** 0.5


def test_the_next_is_drawn_by_the_weights_of_the_others() -> None:
    """What falls over from one that fails is shared as well."""
    orders = [order(several(a=8, b=3, c=1), lot) for lot in LOTS]
    after_a = Counter(each[1] for each in orders if each[0] == "a")

    assert 0.7 < after_a["b"] / after_a.total() < 0.8


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.text(max_size=20))
def test_the_same_request_gets_the_same_order_with_each_once(weights: list[int], lot: str) -> None:
    candidates = several(**{f"t{at}": weight for at, weight in enumerate(weights)})

    assert order(candidates, lot) == order(candidates[::-1], lot)
    assert sorted(order(candidates, lot)) == sorted(each.target.id for each in candidates)


def test_one_that_is_taken_out_moves_no_request_between_the_others() -> None:
    for lot in LOTS[:500]:
        assert [name for name in order(several(a=1, b=2, c=3), lot) if name != "b"] == order(several(a=1, c=3), lot)


def test_ranks_keep_their_order() -> None:
    candidates = [One(target(name), rank, 1) for rank, name in ((0, "a"), (1, "b"), (1, "c"), (2, "d"))]

    assert {(order(candidates, lot)[0], order(candidates, lot)[3]) for lot in LOTS[:200]} == {("a", "d")}
