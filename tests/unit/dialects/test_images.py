"""An image is reserved for by a table, and never below what a provider's own example comes to."""

from __future__ import annotations

import pytest

from gridtie.dialects.images import LARGEST, image_tokens


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        # 1024 x 1024 at high detail, as OpenAI's guide works it out: 4 tiles.
        ("gpt-4o", 765),
        ("openai/gpt-4o-2024-11-20", 765),
        ("gpt-4o-mini", 25_501),
        ("o3", 675),
        ("gpt-5", 630),
        # 1024 patches, as the guide works it out for an image of 1024 x 1024.
        ("gpt-4.1-mini", 1659),
        ("gpt-5-nano", 2520),
        # 1092 x 1092, the largest square that Anthropic's guide lists.
        ("claude-sonnet-4-5", 1590),
        ("gemini-2.5-flash", 258),
    ],
)
def test_a_bound_is_above_the_providers_example(model: str, tokens: int) -> None:
    assert tokens <= image_tokens(model, 1) <= LARGEST


def test_images_add_up() -> None:
    assert image_tokens("gpt-4o", 3) == 3 * image_tokens("gpt-4o", 1)
    assert image_tokens("gpt-4o", 0) == 0


def test_a_model_that_nobody_knows_is_taken_for_the_dearest() -> None:
    assert image_tokens("somebody/new-model", 1) == LARGEST


def test_a_newer_model_is_not_taken_for_an_older_one() -> None:
    assert image_tokens("gpt-5.4-mini", 1) > image_tokens("gpt-5-mini", 1)
