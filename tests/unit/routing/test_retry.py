"""Asking a target again: when that helps, how long it waits, and that it never goes beyond what it may."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.config.schema import Retries
from gridtie.dialects.types import Failed, Failure
from gridtie.providers.target import Target
from gridtie.routing.plan import PlannedAttempt
from gridtie.routing.retry import Retrying, least_wait, wait


def planned(name: str, rank: int = 0) -> PlannedAttempt:
    target = Target(id=name, provider=name, model="m", locality="cloud", dialect="openai", base_url="https://x.example")
    return PlannedAttempt(target=target, reason="", rank=rank)


A, B, OTHER = planned("a"), planned("b"), planned("other", 1)


@pytest.mark.parametrize(
    ("failure", "unreached", "least"),
    [
        (Failure(kind=Failed.UNREACHABLE, message=""), True, 0.0),
        (Failure(kind=Failed.BUSY, message="", retry_after=3), False, 3),
        # Work may have begun, which a second sending would bill again.
        (Failure(kind=Failed.UNREACHABLE, message=""), False, None),
        # Nobody says how long.
        (Failure(kind=Failed.BUSY, message=""), False, None),
        *((Failure(kind=kind, message=""), False, None) for kind in set(Failed) - {Failed.UNREACHABLE, Failed.BUSY}),
    ],
)
def test_only_what_cannot_have_begun_and_may_pass_is_asked_again(
    failure: Failure, unreached: bool, least: float | None
) -> None:
    assert least_wait(failure, unreached=unreached) == least


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.integers(0, 5000), st.floats(0, 100), st.floats(0, 1))
def test_a_wait_is_never_below_the_least_nor_above_it_by_more_than_half_the_longest(
    backoff: float, longest: float, before: int, least: float, lot: float
) -> None:
    seconds = wait(Retries(backoff=backoff, max_backoff=longest), before, least, lot)

    assert least <= seconds <= max(least, longest / 2) + longest / 2


def test_waits_double_up_to_the_longest() -> None:
    retries = Retries(backoff=1, max_backoff=5)

    assert [wait(retries, before, 0, 1.0) for before in range(4)] == [1, 2, 4, 5]
    assert [wait(retries, before, 0, 0.0) for before in range(4)] == [0.5, 1, 2, 2.5]


def retrying(count: int = 1) -> Retrying:
    return Retrying(Retries(count=count, backoff=1, max_backoff=4), lambda: 1.0)


def test_the_others_of_its_place_come_first() -> None:
    again = retrying()
    again.failed(A, 0, 0.0)

    assert not again.choose(0, [B, OTHER], 60.0)
    assert again.choose(0, [OTHER], 60.0)


def test_who_is_free_again_first_is_asked_first_and_not_before_it_is_time() -> None:
    again = retrying()
    again.failed(A, 3, 0.0)
    again.failed(B, 0, 0.5)

    assert again.choose(0, [], 60.0)
    assert (again.taken(1.4), again.taken(1.5)) == (None, B)


def test_no_more_than_its_count() -> None:
    again = retrying(count=2)
    for at in (0.0, 1.0):
        again.failed(A, 0, at)
        assert again.choose(0, [], 60.0)
        assert again.taken(30.0) is A
    again.failed(A, 0, 2.0)

    assert not again.choose(0, [], 60.0)


def test_what_asks_for_a_longer_pause_than_is_allowed_is_left_alone() -> None:
    again = retrying()
    again.failed(A, 4.1, 0.0)

    assert not again.choose(0, [], 60.0)


def test_nothing_is_waited_for_beyond_the_end() -> None:
    again = retrying()
    again.failed(A, 0, 59.5)

    assert not again.choose(0, [], 60.0)


def test_a_place_that_was_left_is_not_returned_to() -> None:
    again = retrying()
    again.failed(A, 0, 0.0)

    assert not again.choose(1, [], 60.0)
