"""Usage as servers report it, and as they should not."""

from __future__ import annotations

import json

import msgspec
import pytest

from gridtie.dialects.openai_chat.usage import from_wire, read
from gridtie.dialects.types import Usage


def metered(usage: object) -> Usage:
    return from_wire(read(msgspec.Raw(json.dumps(usage).encode())), 50, 7)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 11.0, "completion_tokens": 3}, (11, 3)),
        ({"prompt_tokens": "11", "completion_tokens": 3}, (50, 3)),
        ({"prompt_tokens": None, "completion_tokens": 3}, (50, 3)),
        ({"completion_tokens": 3}, (50, 3)),
        ({"prompt_tokens": 11}, (11, 7)),
        ({"prompt_tokens": -5, "completion_tokens": 3}, (50, 3)),
        ({"prompt_tokens": 11, "completion_tokens": -3}, (11, 7)),
        ({"prompt_tokens": 10**30, "completion_tokens": 10**12}, (50, 7)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (50, 7)),
        ({"prompt_tokens": True, "completion_tokens": [3]}, (50, 7)),
        ({"prompt_tokens": 11, "completion_tokens": 3, "prompt_tokens_details": []}, (11, 3)),
        ({}, (50, 7)),
        ([], (50, 7)),
        ("many", (50, 7)),
        (None, (50, 7)),
    ],
)
def test_a_count_that_is_none_is_estimated_and_flagged(usage: object, counts: tuple[int, int]) -> None:
    """Each count by itself: what is sound is kept."""
    found = metered(usage)

    assert ((found.input, found.output), found.estimated) == (counts, True)


def test_sound_counts_are_kept() -> None:
    """With their details, and nothing flagged."""
    usage = {
        "prompt_tokens": 11, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2}, "odd": True,
    }  # fmt: skip

    assert metered(usage) == Usage(input=11, output=3, cached=4, reasoning=2)


@pytest.mark.parametrize("usage", [{"prompt_tokens": 11}, {"completion_tokens": 3}])
def test_a_count_that_follows_from_the_total_is_no_estimate(usage: dict[str, int]) -> None:
    """Some servers report two of the three."""
    assert metered(usage | {"total_tokens": 14}) == Usage(input=11, output=3)


def test_a_detail_is_never_more_than_the_whole() -> None:
    """Cached tokens are billed at less: no report may make all of a prompt so, and more."""
    usage = {
        "prompt_tokens": 11, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 400},
        "completion_tokens_details": {"reasoning_tokens": -2},
    }  # fmt: skip
    found = metered(usage)

    assert (found.cached, found.reasoning) == (11, 0)
