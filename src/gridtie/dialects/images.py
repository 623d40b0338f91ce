"""What an image may be billed as at most, in tokens of the prompt: a table, since an image's bytes say nothing of it.

As the providers' guides to image input had it in November 2026. Each bound is for the largest image that is not scaled
down further, at the highest detail that a request can ask for:

- tiles: an image is scaled to fit 2048 x 2048 and then to 768 on its short side, so at most 2 x 4 tiles of 512 pixels;
  `base + 8 * tile` tokens.
- patches: squares of 32 pixels, at most 1536 of them (10,000 at `detail: original` from gpt-5.4 on), times a factor.
- Anthropic: an image is scaled down until it is at most 4784 tokens on newer models (2576 pixels on the long side), 1600
  on others.
- Gemini: 258 tokens a tile of 768 pixels, at most 4 x 4 of them.
"""

from __future__ import annotations

import re

_TILES = 8
_PATCHES, _ORIGINAL_PATCHES = 1536, 10_000


def _tiles(base: int, tile: int) -> int:
    return base + _TILES * tile


def _patches(factor: float, most: int = _PATCHES) -> int:
    return int(most * factor) + 1


# The first that matches a model's name holds: the narrower before the wider.
_BOUNDS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern), tokens)
    for pattern, tokens in (
        (r"gpt-4o-mini", _tiles(2833, 5667)),
        (r"gpt-4\.1-nano|gpt-5-nano", _patches(2.46)),
        (r"gpt-4\.1-mini|gpt-5-mini", _patches(1.62)),
        (r"o4-mini", _patches(1.72)),
        (r"gpt-4o|gpt-4\.[15]|chatgpt-4o", _tiles(85, 170)),
        (r"\bo[13]\b", _tiles(75, 150)),
        (r"gpt-5(?:\.[123])?(?:$|-chat|-20|-pro|-codex)", _tiles(70, 140)),
        (r"gpt-\d", _patches(2.46, _ORIGINAL_PATCHES)),
        (r"claude", 4784),
        (r"gemini", 16 * 258),
    )
)
# For a model that nobody here knows: as much as for the dearest.
LARGEST = max(tokens for _, tokens in _BOUNDS)


def image_tokens(model: str, count: int) -> int:
    """Tokens that `count` images may be billed as at a model, as an upper bound."""
    if not count:
        return 0
    name = model.lower()
    return count * next((tokens for pattern, tokens in _BOUNDS if pattern.search(name)), LARGEST)
