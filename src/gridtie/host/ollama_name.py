"""Names of Ollama's models that mean another machine: asked of the catalogue here and of the routing file there."""

from __future__ import annotations


def runs_at_ollama_com(name: str) -> bool:
    """Whether Ollama hands the prompts of a model of this name on to ollama.com: `gpt-oss:120b-cloud`, `glm-5:cloud`.

    The end of the name says so, in any case, whatever registry and namespace stand before it.
    """
    return name.strip().casefold().endswith((":cloud", "-cloud"))
