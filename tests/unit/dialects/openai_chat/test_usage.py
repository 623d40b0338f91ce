"""Usage as servers report it, and as they should not."""

from __future__ import annotations

import json

import msgspec
import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.openai_chat.usage import from_wire, read
from gridtie.dialects.types import AnswerOptions, Dialect, Usage
from standins.decoded import run


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


COUNTS = {"prompt_tokens": 33, "completion_tokens": 6, "total_tokens": 39}
TIMINGS = {"cache_n": 6, "prompt_n": 27}


@pytest.mark.parametrize("client", ["openai", "anthropic", "ollama", "openai-responses"])
def test_an_engine_that_tells_its_cache_in_its_timings_alone_is_metered_with_it(client: Dialect) -> None:
    """llama.cpp's builds of 2025: streamed, for every client."""
    said = {"id": "chatcmpl-1", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    frames = [
        said | {"choices": [{"index": 0, "delta": {"content": 'says "cache_n": 31'}, "finish_reason": "stop"}]},
        said | {"choices": [], "usage": COUNTS, "timings": TIMINGS},
    ]
    data = b"".join(b"data: %b\n\n" % json.dumps(frame).encode() for frame in frames) + b"data: [DONE]\n\n"

    _, chunks = run(codec(client, "openai").stream(AnswerOptions(1)), [data])

    assert chunks[-1].usage == Usage(input=33, output=6, cached=6)


@pytest.mark.parametrize(
    ("beside", "cached"),
    [
        ({"timings": TIMINGS}, 6),
        # What the slot holds after the answer, and no count of what was read from a cache.
        ({"tokens_cached": 38}, 0),
        ({"timings": {"cache_n": -1}}, 0),
        ({"timings": {"cache_n": "6"}}, 0),
        ({"timings": {"cache_n": 6000}}, 33),
        ({"timings": ["cache_n"]}, 0),
    ],
)
def test_the_same_of_a_whole_answer_whatever_its_timings_hold(beside: dict[str, object], cached: int) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    body = json.dumps({"id": "c", "choices": [choice], "usage": COUNTS} | beside).encode()

    whole = codec("openai", "openai").whole(body, 1)

    assert (whole.body, whole.usage) == (body, Usage(input=33, output=6, cached=cached))


def test_what_the_usage_says_of_the_cache_is_believed_before_the_timings() -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 5}}
    body = json.dumps({"choices": [{"message": {}}], "usage": COUNTS | details, "timings": TIMINGS}).encode()

    assert codec("openai", "openai").whole(body, 1).usage == Usage(input=33, output=6, cached=5)
