"""What is asked: prompts of the wanted length, no two with the same beginning, but where a cache is to be measured."""

from __future__ import annotations

import json

import pytest

from gridtie.bench.profiles import PROFILES, TOKENS_PER_WORD, USUAL, measured_rate, prompt
from gridtie.dialects.openai_chat.facts import read

VARIED = [name for name, profile in PROFILES.items() if not profile.repeats]


def shared(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))


def text(name: str, seed: str, rate: float = TOKENS_PER_WORD, beginning: str = "") -> str:
    made = prompt(PROFILES[name], seed, rate, beginning)
    return json.dumps(made.messages)


@pytest.mark.parametrize("name", VARIED)
def test_two_prompts_share_next_to_nothing_at_their_beginning(name: str) -> None:
    """An engine that keeps finished prompts would be measured at what it need not read."""
    texts = [text(name, f"seed {number}") for number in range(20)]

    assert max(shared(one, other) for one in texts for other in texts if one is not other) < 60


@pytest.mark.parametrize("name", PROFILES)
def test_the_same_seed_asks_the_same(name: str) -> None:
    assert text(name, "1", beginning="b") == text(name, "1", beginning="b")
    assert text(name, "1", beginning="b") != text(name, "2", beginning="b")


@pytest.mark.parametrize("name", PROFILES)
def test_a_prompt_is_as_long_as_its_profile_says(name: str) -> None:
    """By the four bytes a token that the router estimates with; a model's own count then sets the rate."""
    profile = PROFILES[name]
    estimate = len(text(name, "1", beginning="b")) / 4

    assert 0.6 * profile.prompt_tokens < estimate < 1.6 * profile.prompt_tokens


def test_a_models_own_count_sets_the_length_of_the_next_prompt() -> None:
    """A tokenizer that needs twice as many tokens a word gets half as many words."""
    profile = PROFILES["chat"]
    first = prompt(profile, "1", TOKENS_PER_WORD)
    rate = measured_rate(first, 2 * profile.prompt_tokens)
    second = prompt(profile, "2", rate)

    assert second.words == pytest.approx(first.words / 2, rel=0.06)


def test_the_cache_profile_repeats_its_beginning_and_not_its_question() -> None:
    one, other = text("cache", "1", beginning="b"), text("cache", "2", beginning="b")
    elsewhere = text("cache", "1", beginning="c")

    assert shared(one, other) > 0.95 * len(one)
    assert one != other
    assert shared(one, elsewhere) < 60


@pytest.mark.parametrize("name", PROFILES)
def test_the_router_can_read_what_is_asked(name: str) -> None:
    made = prompt(PROFILES[name], "1", TOKENS_PER_WORD, "b")
    body = {"model": "m", "messages": made.messages, **({"tools": made.tools} if made.tools else {})}
    facts = read(json.dumps(body).encode())

    assert ("tools" in facts.needs) == PROFILES[name].tools


def test_a_profile_of_another_size_says_so_in_its_name() -> None:
    sized = PROFILES["agent"].sized(6_000)

    assert (sized.name, sized.prompt_tokens, sized.tools) == ("agent-6000", 6_000, True)
    assert sized.without_tools().name == "agent-6000-without-tools"
    assert PROFILES["chat"].without_tools() is PROFILES["chat"]


def test_what_is_measured_unasked_is_there() -> None:
    assert set(USUAL) <= set(PROFILES)
