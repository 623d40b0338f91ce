"""What a picture may cost: an upper bound in tokens, by the family of the model that it is sent to.

As of 2026-11-29, from the providers' public documentation:

- OpenAI, "Images and vision", section on costs. Models that count tiles scale a picture at high detail to 768 pixels
  on its shorter side and 2048 on its longer, so at most 2 x 4 tiles of 512 pixels: base + 8 x tile. gpt-4o, gpt-4.1,
  gpt-4.5: 85 + 8 x 170 = 1445; gpt-4o-mini: 2833 + 8 x 5667 = 48169; gpt-5 and its chat models: 70 + 8 x 140 = 1190;
  o1, o1-pro, o3: 75 + 8 x 150 = 1275; computer-use-preview: 65 + 8 x 129 = 1097. Models that count patches of 32
  pixels take at most 1536 of them, times a factor: gpt-5-mini, gpt-5-nano, gpt-4.1-mini 1.62, gpt-4.1-nano 2.46,
  o4-mini 1.72; newer ones at original detail at most 10,000 patches.
- Anthropic, "Vision", section on costs: width x height / 750, scaled to about 1,600 tokens; newer models to 4,784.
- Google, "Understand images", tokens: 258 a tile; a picture is cut into tiles of at least 256 pixels, and a large one
  into some 16 of them; Gemini 3 at its highest resolution 2,240.

A model that no line here knows is counted at the largest bound: reserving too much delays a request, too little
overdraws a budget.
"""

from __future__ import annotations

import re

_TILES_4O_MINI = 2833 + 8 * 5667
_ORIGINAL_DETAIL = 10_000

# The first pattern that matches decides; a model may stand behind a provider's name (`openai/gpt-4o`).
_BOUNDS: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(rf"(?:^|/){pattern}", re.IGNORECASE), tokens)
    for pattern, tokens in (
        (r"(?:chatgpt-|ft:)?gpt-4o-mini", _TILES_4O_MINI),
        (r"(?:chatgpt-|ft:)?gpt-4o", 85 + 8 * 170),
        (r"gpt-4\.1-nano", 3779),  # 1536 x 2.46, rounded up
        (r"gpt-4\.1-mini", 2489),  # 1536 x 1.62
        (r"gpt-4\.[15]|gpt-4-turbo|gpt-4-vision", 85 + 8 * 170),
        (r"gpt-5-(?:mini|nano)(?:-\d{4}|$)", 2489),
        (r"gpt-5(?:-chat|-\d{4}|$)", 70 + 8 * 140),
        (r"gpt-5", _ORIGINAL_DETAIL),  # 5.1 and later
        (r"o4-mini", 2642),  # 1536 x 1.72
        (r"o[13](?:-pro)?(?:-\d{4}|$)", 75 + 8 * 150),
        (r"computer-use-preview", 65 + 8 * 129),
        (r"(?:anthropic\.)?claude", 4784),
        (r"gemini", 16 * 258),
    )
)

LARGEST = max(tokens for _, tokens in _BOUNDS)


def image_tokens(model: str, count: int) -> int:
    """The most tokens that so many pictures are billed as by the model of this name, as upstream knows it."""
    return count * next((tokens for pattern, tokens in _BOUNDS if pattern.search(model)), LARGEST)
