"""Which codec stands between a client's dialect and a target's."""

from __future__ import annotations

from gridtie.dialects.anthropic.codec import ANTHROPIC
from gridtie.dialects.ollama.codec import OLLAMA
from gridtie.dialects.openai_chat.codec import OPENAI_CHAT
from gridtie.dialects.package import Package, Translated
from gridtie.dialects.types import Codec, Dialect

# Every dialect there is.
PACKAGES: tuple[Package, ...] = (OPENAI_CHAT, ANTHROPIC, OLLAMA)

# A codec has no state of its own: one of each serves every request.
CODECS: dict[tuple[Dialect, Dialect], Codec] = {
    (client.name, target.name): client.own if client is target else Translated(client, target)
    for client in PACKAGES
    for target in PACKAGES
}


def codec(client: Dialect, target: Dialect) -> Codec:
    """The translation between two dialects."""
    return CODECS[client, target]
