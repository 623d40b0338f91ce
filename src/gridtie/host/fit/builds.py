"""Which build of llama.cpp an engine computes with: memory is counted for that one."""

from __future__ import annotations

from ..catalogue import version
from .memory import BUILD

# Upstream's releases of Ollama and the tag in their LLAMA_CPP_VERSION, oldest first (config/artefacts.yaml has both of
# those that are fetched or compiled). A release between two of them is counted as the earlier one.
OF_OLLAMA = (("0.32.15", 10488), ("0.34.4", 11081))


def build_of(engine: str, engine_version: str, stock: bool) -> int:
    """The number of the build. `stock`: what computes is llama.cpp as it is packaged, whatever version the engine has;
    so it is where no version is known.
    """
    if engine != "ollama" or stock or not engine_version:
        return BUILD
    mine = version(engine_version)
    known = [build for release, build in OF_OLLAMA if version(release) <= mine]
    return known[-1] if known else OF_OLLAMA[0][1]
