"""What a key takes in a minute is counted exactly, whatever the moments."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.gateway.allowance import Allowance, Taken, Window, Windows
from gridtie.gateway.keys import Bounded, Key, Limits
from gridtie.gateway.share import WHOLE, Share
from gridtie.routing.plan import Refusal


def allowance(windows: Windows | None = None, share: Share = WHOLE, **limits: int) -> Allowance:
    key = Key(name="app", environments=("dev",))
    return Allowance(Bounded(key=key, limits=Limits(**limits)), windows or Windows(), share)


def refused(found: Taken | Refusal) -> Refusal:
    assert isinstance(found, Refusal)
    return found


def taken(found: Taken | Refusal) -> Taken:
    assert isinstance(found, Taken)
    return found


moments = st.lists(st.floats(min_value=0, max_value=600), min_size=1, max_size=200).map(sorted)


@given(moments, st.integers(min_value=1, max_value=10))
def test_no_sixty_seconds_have_more_requests_than_are_allowed(times: list[float], limit: int) -> None:
    asked = allowance(requests_per_minute=limit)
    let_in = [at for at in times if isinstance(asked.take(1, at), Taken)]

    for at in let_in:
        assert sum(at <= other < at + 60 for other in let_in) <= limit


@given(moments, st.integers(min_value=1, max_value=10))
def test_who_waits_as_long_as_is_said_is_let_in(times: list[float], limit: int) -> None:
    asked = allowance(requests_per_minute=limit)
    for at in times:
        found = asked.take(1, at)
        if isinstance(found, Refusal):
            assert found.retry_after is not None
            assert 1 <= found.retry_after <= 62
            assert isinstance(asked.take(1, at + found.retry_after), Taken)
            return


def test_who_is_refused_takes_nothing() -> None:
    asked = allowance(requests_per_minute=1)
    asked.take(1, 0.0)
    for second in range(1, 60):
        refused(asked.take(1, float(second)))

    taken(asked.take(1, 61.0))


def test_a_refusal_says_what_holds_how_long_and_who_can_change_it() -> None:
    asked = allowance(requests_per_minute=2)
    asked.take(1, 0.5)
    asked.take(1, 30.0)
    found = refused(asked.take(1, 31.0))

    assert (found.status, found.code, found.retry_after) == (429, "rate_limit_exceeded", 30)
    assert (
        'the key "app" may take 2 requests a minute, and has too little left for this: retry in 30 s.' in found.message
    )
    assert "sudo gridtie keys edit app --requests-per-minute N" in found.message


def test_an_estimate_is_settled_by_what_was_used() -> None:
    asked = allowance(tokens_per_minute=1000)
    first = taken(asked.take(900, 0.0))
    refused(asked.take(200, 1.0))
    first.settle(300, 2.0)

    assert asked.left(2.0) == {"tokens_per_minute": 700}
    taken(asked.take(700, 2.0))


def test_what_an_answer_took_beyond_its_estimate_is_counted_from_then_on() -> None:
    asked = allowance(tokens_per_minute=1000)
    taken(asked.take(100, 0.0)).settle(1500, 50.0)
    found = refused(asked.take(100, 51.0))

    # The estimate is over after a minute; the rest was known at 50 only.
    assert found.retry_after == 60
    assert "1,000 tokens a minute" in found.message
    taken(asked.take(100, 111.0))


def test_what_nobody_answered_costs_no_tokens() -> None:
    asked = allowance(tokens_per_minute=100)
    taken(asked.take(100, 0.0)).settle(0, 1.0)

    assert asked.left(1.0) == {"tokens_per_minute": 100}


def test_an_answer_that_took_longer_than_a_minute_gives_nothing_back_twice() -> None:
    asked = allowance(tokens_per_minute=100)
    first = taken(asked.take(80, 0.0))
    asked.take(50, 70.0)
    first.settle(10, 71.0)

    assert asked.left(71.0) == {"tokens_per_minute": 50}


def test_a_prompt_larger_than_the_limit_is_not_told_to_wait() -> None:
    found = refused(allowance(tokens_per_minute=100).take(101, 0.0))

    assert (found.status, found.retry_after) == (429, None)
    assert "send less" in found.message


def test_requests_that_are_refused_for_their_tokens_are_not_counted() -> None:
    asked = allowance(requests_per_minute=5, tokens_per_minute=100)
    refused(asked.take(200, 0.0))

    assert asked.left(0.0) == {"requests_per_minute": 5, "tokens_per_minute": 100}


def test_a_limit_that_is_changed_counts_what_was_taken_before() -> None:
    windows = Windows()
    for _ in range(3):
        allowance(windows).take(10, 0.0)

    refused(allowance(windows, requests_per_minute=3).take(1, 1.0))
    taken(allowance(windows, requests_per_minute=4).take(1, 1.0))


def test_a_window_stays_small_however_much_is_taken() -> None:
    window = Window()
    for tenth in range(20_000):
        window.take(1, tenth / 10)

    assert window.taken(2000.0) == pytest.approx(600, abs=10)
    assert len(window._steps) <= 62


def test_more_than_is_ever_allowed_never_comes() -> None:
    assert Window().wait(11, 10, 0.0) == math.inf


@pytest.mark.parametrize("limit", [3, 10, 60])
def test_several_routers_let_in_what_one_would(limit: int) -> None:
    routers = [allowance(share=Share(3, place), requests_per_minute=limit) for place in range(3)]
    let_in = [isinstance(router.take(1, 0.0), Taken) for router in routers for _ in range(100)]

    assert sum(let_in) == limit


def test_one_of_several_routers_says_the_whole_limit_and_what_is_left_here() -> None:
    router = allowance(share=Share(2, 0), requests_per_minute=10)
    for _ in range(5):
        taken(router.take(1, 0.0))

    assert router.left(0.0) == {"requests_per_minute": 0}
    assert "may take 10 requests a minute" in refused(router.take(1, 0.0)).message


def test_a_prompt_beyond_a_routers_share_of_tokens_has_its_minute_to_itself() -> None:
    router = allowance(share=Share(4, 0), tokens_per_minute=1000)

    taken(router.take(900, 0.0))
    assert refused(router.take(200, 1.0)).retry_after is not None
    taken(router.take(900, 62.0))
    assert refused(router.take(1001, 200.0)).retry_after is None
