"""The memory of answers that a later request may name: whose they are, and how much there can be of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.config.schema import Responses
from gridtie.dialects.openai_responses.kept import Earlier
from gridtie.gateway.kept_answers import KeptAnswers

HOLDERS = {"anna": frozenset({b"1"}), "ben": frozenset({b"2"})}


def memory(**rules: Any) -> KeptAnswers:
    kept = KeptAnswers()
    kept.reload(Responses(keep=True, **rules), HOLDERS)
    return kept


def fill(kept: KeptAnswers, key: str, count: int, size: int = 10, now: float = 0.0) -> None:
    for number in range(count):
        kept.keep(key, f"{key}-{number}", Earlier(b"x" * size), now)


def test_an_answer_is_recalled_by_the_key_that_got_it_alone() -> None:
    kept = memory()
    kept.keep("anna", "resp_1", Earlier(b"{}", private=True), 0.0)

    assert kept.recall("anna", "resp_1", 0.0) == Earlier(b"{}", private=True)
    assert kept.recall("ben", "resp_1", 0.0) is None
    assert kept.recall("anna", "resp_2", 0.0) is None


def test_nothing_is_kept_unless_it_is_switched_on() -> None:
    kept = KeptAnswers()
    kept.reload(Responses(), HOLDERS)
    kept.keep("anna", "resp_1", Earlier(b"{}"), 0.0)

    assert (len(kept), kept.bytes) == (0, 0)


def test_what_is_too_old_is_not_given_and_soon_freed() -> None:
    """Freed although nobody asks for anything."""
    kept = memory(keep_seconds=60)
    fill(kept, "anna", 2, now=0.0)
    fill(kept, "ben", 1, now=30.0)

    assert kept.recall("anna", "anna-0", 60.0) is not None
    assert kept.recall("anna", "anna-0", 61.0) is None
    kept.sweep(61.0)
    assert (len(kept), kept.bytes) == (1, 10)
    kept.sweep(91.0)
    assert (len(kept), kept.bytes) == (0, 0)


@pytest.mark.parametrize("bounds", [{"keep_entries": 10}, {"keep_bytes": 1000}])
def test_one_key_pushes_out_its_own_answers_and_no_other_keys(bounds: dict[str, int]) -> None:
    kept = memory(**bounds)
    kept.keep("ben", "resp_1", Earlier(b"{}"), 0.0)
    fill(kept, "anna", 500, size=100)

    assert kept.recall("ben", "resp_1", 0.0) == Earlier(b"{}")
    assert kept.recall("anna", "anna-0", 0.0) is None
    assert kept.recall("anna", "anna-499", 0.0) is not None
    assert len(kept) <= 6 and kept.bytes <= 502


def test_a_conversation_of_more_than_half_of_all_is_not_kept() -> None:
    """And pushes out nothing."""
    kept = memory(keep_bytes=1000)
    fill(kept, "anna", 3, size=100)
    kept.keep("anna", "large", Earlier(b"x" * 501), 0.0)

    assert (len(kept), kept.bytes, kept.recall("anna", "large", 0.0)) == (3, 300, None)


def test_the_same_id_again_replaces_what_was_there() -> None:
    kept = memory()
    kept.keep("anna", "resp_1", Earlier(b"12345"), 0.0)
    kept.keep("anna", "resp_1", Earlier(b"123"), 0.0)

    assert (len(kept), kept.bytes, kept.recall("anna", "resp_1", 0.0)) == (1, 3, Earlier(b"123"))


def test_an_answer_is_forgotten_by_the_key_that_got_it_alone() -> None:
    kept = memory()
    fill(kept, "anna", 2)
    kept.forget("ben", "anna-0")
    kept.forget("anna", "nobody")
    assert len(kept) == 2

    kept.forget("anna", "anna-0")
    assert (len(kept), kept.bytes, kept.recall("anna", "anna-0", 0.0)) == (1, 10, None)


def test_what_an_answer_says_of_itself_counts_as_well() -> None:
    kept = memory()
    kept.keep("anna", "resp_1", Earlier(b"12345", response=b"123"), 0.0)

    assert kept.bytes == 8


def test_smaller_bounds_hold_at_once() -> None:
    kept = memory()
    fill(kept, "anna", 10, size=100, now=1e12)
    kept.reload(Responses(keep=True, keep_entries=4), HOLDERS)
    assert len(kept) == 4

    kept.reload(Responses(keep=True, keep_bytes=1000), HOLDERS | {"carl": frozenset({b"3"})})
    assert (len(kept), kept.bytes) == (4, 400)


def test_switched_off_it_is_empty() -> None:
    kept = memory()
    fill(kept, "anna", 3)
    kept.reload(Responses(), HOLDERS)

    assert (len(kept), kept.bytes, kept.recall("anna", "anna-0", 0.0)) == (0, 0, None)


@pytest.mark.parametrize(
    ("now", "remains"),
    [
        # Rotated with an overlap: the same holder.
        (frozenset({b"1", b"9"}), True),
        # Revoked, and somebody else got a key of the same name.
        (frozenset({b"9"}), False),
        (frozenset[bytes](), False),
    ],
)
def test_a_name_that_changes_hands_leaves_nothing_behind(now: frozenset[bytes], remains: bool) -> None:
    kept = memory()
    fill(kept, "anna", 1, now=1e12)
    fill(kept, "ben", 1, now=1e12)
    kept.reload(Responses(keep=True), HOLDERS | {"anna": now})

    assert (kept.recall("anna", "anna-0", 1e12) is not None) is remains
    assert kept.recall("ben", "ben-0", 1e12) is not None


@given(
    st.lists(
        st.tuples(st.sampled_from(["anna", "ben", "carl"]), st.integers(0, 9), st.integers(0, 700), st.integers(0, 9)),
        max_size=60,
    )
)
def test_whatever_is_kept_the_bounds_hold_and_the_account_is_right(steps: list[tuple[str, int, int, int]]) -> None:
    """After each step: number, bytes, each key's half; and once all is too old nothing is left."""
    kept, now = memory(keep_entries=8, keep_bytes=1000, keep_seconds=20), 0.0
    for key, id, size, later in steps:
        now += later
        kept.keep(key, str(id), Earlier(b"x" * size), now)
        found = [
            (name, len(earlier.items))
            for name in HOLDERS | {"carl": None}
            for at in range(10)
            if (earlier := kept.recall(name, str(at), now)) is not None
        ]
        assert len(found) <= len(kept) <= 8
        assert sum(size for _, size in found) <= kept.bytes <= 1000
        for name in ("anna", "ben", "carl"):
            own = [size for each, size in found if each == name]
            assert len(own) <= 4 and sum(own) <= 500
    kept.sweep(now + 21)
    assert (len(kept), kept.bytes) == (0, 0)
