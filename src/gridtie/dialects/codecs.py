"""Which codec stands between a client's dialect and a target's."""

from __future__ import annotations

from gridtie.dialects.anthropic.codec import OpenAIToAnthropic
from gridtie.dialects.ollama.codec import OpenAIToOllama
from gridtie.dialects.openai_chat.codec import OpenAIToOpenAI
from gridtie.dialects.openai_chat.held_calls import HeldToSchema
from gridtie.dialects.types import Codec, Dialect

# A codec has no state of its own: one of each serves every request.
CODECS: dict[tuple[Dialect, Dialect], Codec] = {
    ("openai", "openai"): OpenAIToOpenAI(),
    ("openai", "ollama"): OpenAIToOllama(),
    ("openai", "anthropic"): OpenAIToAnthropic(),
}

# The same for models that call tools only where they are held to a schema of them.
HELD_CODECS: dict[tuple[Dialect, Dialect], Codec] = {
    ("openai", dialect): HeldToSchema(CODECS["openai", dialect]) for dialect in ("openai", "ollama")
}


def codec(client: Dialect, target: Dialect) -> Codec:
    """The translation between two dialects; a `KeyError` where nobody has written it yet."""
    return CODECS[client, target]
