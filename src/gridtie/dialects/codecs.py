"""Which codec stands between a client's dialect and a target's."""

from __future__ import annotations

from collections.abc import Callable

from gridtie.dialects.anthropic.codec import ANTHROPIC
from gridtie.dialects.conversation import Conversation
from gridtie.dialects.embeddings import codec as embeddings
from gridtie.dialects.facts import Facts
from gridtie.dialects.held_calls import HeldToSchema
from gridtie.dialects.ollama.codec import OLLAMA
from gridtie.dialects.ollama.generate import (
    FillToCompletions,
    GenerateToOllama,
    NoFill,
    ResponseLineWriter,
    ResponseWriter,
    read_turn,
)
from gridtie.dialects.openai_chat.codec import OPENAI_CHAT
from gridtie.dialects.openai_completions import codec as completions
from gridtie.dialects.openai_responses.codec import OPENAI_RESPONSES
from gridtie.dialects.package import Package, Translated, spoken_by_clients
from gridtie.dialects.types import Codec, Dialect

# Every dialect there is.
PACKAGES: tuple[Package, ...] = (OPENAI_CHAT, ANTHROPIC, OLLAMA)

# What is asked beside chats.
_GENERATE = spoken_by_clients("ollama-generate", OLLAMA, read_turn, ResponseLineWriter, ResponseWriter)
_FURTHER: dict[tuple[Dialect, Dialect], Codec] = {
    **completions.CODECS,
    **embeddings.CODECS,
    **{("openai-responses", target.name): Translated(OPENAI_RESPONSES, target) for target in PACKAGES},
    ("ollama-generate", "ollama"): GenerateToOllama(),
    ("ollama-generate", "openai"): Translated(_GENERATE, OPENAI_CHAT),
    ("ollama-generate", "anthropic"): Translated(_GENERATE, ANTHROPIC),
    ("ollama-fill", "ollama"): GenerateToOllama(),
    ("ollama-fill", "openai"): FillToCompletions(),
    ("ollama-fill", "anthropic"): NoFill(),
}

# How a request becomes a conversation, of what is one.
READERS: dict[Dialect, Callable[[Facts], Conversation]] = {
    package.name: package.read for package in (*PACKAGES, OPENAI_RESPONSES, _GENERATE)
}

# A codec has no state of its own: one of each serves every request.
CODECS: dict[tuple[Dialect, Dialect], Codec] = {
    (client.name, target.name): client.own if client is target else Translated(client, target)
    for client in PACKAGES
    for target in PACKAGES
} | _FURTHER

# The same for models that call tools only where they are held to a schema of them.
HELD_CODECS: dict[tuple[Dialect, Dialect], Codec] = {
    (client.name, target.name): HeldToSchema(client, target)
    for client in (*PACKAGES, OPENAI_RESPONSES)
    for target in (OPENAI_CHAT, OLLAMA)
}


def codec(client: Dialect, target: Dialect) -> Codec:
    """The translation between two dialects."""
    return CODECS[client, target]
