"""What clients make the router hold is bounded in sum, and for each key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gridtie.routing.held_bytes import HeldBytes


def test_more_than_the_limit_is_not_held() -> None:
    held = HeldBytes(100)
    one, two, three = (held.holding(name) for name in ("a", "b", "c"))

    assert one.take(50)
    assert two.take(40)
    assert not three.take(11)
    assert three.take(10)
    assert held.total == 100


def test_one_key_holds_at_most_half_over_all_of_its_requests() -> None:
    held = HeldBytes(100)

    assert held.holding("a").take(30)
    assert not held.holding("a").take(21)
    assert held.holding("b").take(21)


def test_what_is_released_can_be_held_again_and_releasing_twice_gives_nothing_twice() -> None:
    held = HeldBytes(100)
    one = held.holding("a")
    one.take(50)

    one.release()
    one.release()

    assert (held.total, held.of("a")) == (0, 0)
    assert held.holding("a").take(50)


def test_more_than_was_taken_is_never_given_back() -> None:
    held = HeldBytes(100)
    one, other = held.holding("a"), held.holding("b")
    one.take(10)
    other.take(10)

    one.give(1000)

    assert held.total == 10


def test_a_lower_limit_holds_for_what_comes_and_leaves_what_is_there() -> None:
    held = HeldBytes(100)
    one = held.holding("a")
    one.take(50)

    held.limit = 20

    assert not held.holding("b").take(1)
    one.release()
    assert held.holding("b").take(10)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60), st.booleans())))
def test_the_sums_are_those_of_the_parts_whatever_comes(steps: list[tuple[str, int, bool]]) -> None:
    held = HeldBytes(100)
    holdings = {name: held.holding(name) for name in "abc"}
    for name, count, takes in steps:
        if takes:
            holdings[name].take(count)
        else:
            holdings[name].give(count)
        assert held.total == sum(each.count for each in holdings.values()) <= 100
        assert all(held.of(name) == each.count <= 50 for name, each in holdings.items())
