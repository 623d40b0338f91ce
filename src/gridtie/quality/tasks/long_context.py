"""Long texts: to find what was said once, at 4,000, 16,000 and 32,000 tokens."""

from __future__ import annotations

import random

from gridtie.bench.profiles import TOKENS_PER_WORD, prose
from gridtie.quality.checks import says
from gridtie.quality.task import Task, texts, user

_SIZES = (4_000, 16_000, 32_000)
# Room for question, answer and template.
_MARGIN = 300


def _found(size: int, place: float, colour: str, thing: str, others: tuple[str, ...]) -> Task:
    """One sentence about a thing's colour in so many tokens of other text, at this share of it."""
    draw = random.Random(f"{size} {place}")  # noqa: S311 - variety is what is wanted, not a secret
    sentences = prose(draw, round((size - _MARGIN) / TOKENS_PER_WORD)).split(". ")
    at = round(place * (len(sentences) - 1))
    sentences.insert(at, f"The {thing} of the lighthouse keeper is {colour}")
    for step, other in enumerate(others):
        sentences.insert(
            (at + (step + 1) * len(sentences) // 3) % len(sentences), f"The {thing} of the baker is {other}"
        )
    text = ". ".join(sentences)
    return Task(
        name=f"long-{size // 1000}k-at-{place:.0%}".replace("%", ""),
        category="long context",
        messages=user(f"{text}\n\nWhich colour has the {thing} of the lighthouse keeper? Answer with one word."),
        check=says(colour, *others),
        right=texts(colour, f"It is {colour.title()}."),
        wrong=texts(*others, f"{colour} or {others[0]}", f"{colour}ish", ""),
        max_tokens=16,
        context=size,
    )


LONG_CONTEXT = tuple(
    _found(size, place, colour, "boat", others)
    for size in _SIZES
    for place, colour, others in ((0.2, "crimson", ("green", "white")), (0.8, "turquoise", ("brown", "black")))
)
