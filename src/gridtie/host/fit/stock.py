"""What stock llama.cpp does not read, told by a file's header. Pure.

Ollama's own build reads headers in its library that others refuse: names of its own for architectures, and files that
hold a picture's encoder beside the model, or lack what stock llama.cpp demands.
"""

from __future__ import annotations

from .header import Header

# Ollama's names of architectures (model/models in its sources), and llama.cpp's.
OLLAMAS_NAMES = {"gptoss": "gpt-oss", "glm4moelite": "deepseek2"}

# What stock llama.cpp demands, and Ollama's files of these architectures may lack (src/models/*.cpp).
_DEMANDED = {
    "gemma3": "attention.layer_norm_rms_epsilon",
    "qwen35": "rope.dimension_sections",
    "qwen35moe": "rope.dimension_sections",
}
_OTHERS_TENSORS = ("v.", "mm.", "a.")


def why_not_stock(header: Header) -> str:
    """Why stock llama.cpp does not load this file, as one clause; "" where nothing speaks against it."""
    architecture = header.architecture
    if architecture in OLLAMAS_NAMES:
        known = OLLAMAS_NAMES[architecture]
        return f"it calls its architecture {architecture!r}, which stock llama.cpp knows as {known!r}"
    others = sum(1 for name in header.tensors if name.startswith(_OTHERS_TENSORS))
    if others and architecture != "clip":
        return f"{others} tensors of an encoder of pictures or sound lie in the model's own file"
    demanded = _DEMANDED.get(architecture)
    if demanded and header.get(demanded) is None:
        return f"its header lacks {architecture}.{demanded}"
    return ""
