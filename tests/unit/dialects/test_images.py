"""What a picture may cost."""

from __future__ import annotations

import pytest

from gridtie.dialects.images import LARGEST, image_tokens


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o", 1445),
        ("openai/gpt-4o-2024-11-20", 1445),
        ("gpt-4o-mini-2024-07-18", 48169),
        ("gpt-4.1-mini", 2489),
        ("gpt-4.1", 1445),
        ("gpt-5", 1190),
        ("gpt-5-mini", 2489),
        ("gpt-5.4-mini", 10000),
        ("o3", 1275),
        ("o3-mini", LARGEST),
        ("claude-haiku-5-5", 4784),
        ("anthropic/claude-opus-4.7", 4784),
        ("gemini-3-pro", 4128),
    ],
)
def test_each_family_has_its_bound(model: str, tokens: int) -> None:
    """The models of a family are told by how their names begin, behind a provider's name too."""
    assert image_tokens(model, 1) == tokens


def test_a_model_that_nobody_knows_costs_the_most() -> None:
    """Too much is reserved rather than too little."""
    assert image_tokens("my-own-gpt-4o-like", 1) == LARGEST == max(image_tokens(m, 1) for m in ("gpt-4o-mini", "x"))


def test_pictures_add_up() -> None:
    """Each counts, and none costs nothing."""
    assert image_tokens("gpt-4o", 3) == 3 * image_tokens("gpt-4o", 1)
    assert image_tokens("gpt-4o", 0) == 0
