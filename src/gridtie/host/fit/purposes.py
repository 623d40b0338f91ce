"""What models are wanted for, and what each purpose asks of one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping


@dataclass(frozen=True)
class Purpose:
    """What a purpose asks of a model.

    `contexts` are tried in this order: the first is wanted, the last the least that is of use, in tokens. `capability`
    is what the model must have, `least_speed` the tokens a second that a person waits for without leaving. `beside`
    says that it is asked between two questions to another model, which must not leave the memory for it, so that it
    may take no more than a `share` of all there is; `longer` that more context than is wanted is of use.
    """

    name: str
    contexts: tuple[int, ...]
    capability: str
    least_speed: float
    beside: bool = False
    share: float = 1.0
    longer: bool = True


# Models are wanted with 32K tokens of context, which coding tools fill; 8K is the least that is useful to them.
CONTEXTS = (32768, 16384, 8192)

# Below this a person waits for every line (docs/models.md).
LEAST_SPEED = 8.0

PURPOSES: Mapping[str, Purpose] = {
    each.name: each
    for each in (
        Purpose("code", CONTEXTS, "chat", LEAST_SPEED),
        Purpose("chat", CONTEXTS, "chat", LEAST_SPEED),
        # Their first request has up to 18,000 tokens, and Ollama's own advice for them is 64K.
        Purpose("agents", (65536,), "tools", LEAST_SPEED),
        # A line of some 30 tokens has to be there while the person still thinks.
        Purpose("completion", (8192, 4096), "fill-in-the-middle", 40.0, beside=True, share=1 / 4, longer=False),
        Purpose("embeddings", (8192, 2048, 512), "embeddings", 0.0, beside=True, share=1 / 4, longer=False),
    )
}
CHOOSABLE = tuple(PURPOSES)

# What `auto` chooses a model for unless it is told otherwise. The one of the smoke test is always there.
USUAL = ("code",)
