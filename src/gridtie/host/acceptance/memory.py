"""The range that a model's memory has to be in, and what it is made of; acceptance and doctor judge by the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..fit.memory import FULL, Need

MIB = 1 << 20

# What a llama.cpp server process takes beside its model (Python, the library, heap, threads), with its launcher:
# about 130 MiB measured with the smoke-test model on both engines.
PROCESS_BYTES = 192 * MIB
# The formula is within 2 % of the server's own dry run; the rest is what allocators and page tables add.
TOLERANCE = 0.05
# On graphics cards other libraries take other compute buffers. Not measured: no card was at hand.
TOLERANCE_ON_CARDS = 0.25
# Of the prediction, compute buffers that no request has filled yet are reserved, but not resident.
UNDER = 0.5
# What a conversation's sliding and recurrent layers hold is kept at up to so many points of it, in main memory, so that
# another can begin there (llama.cpp's --ctx-checkpoints).
CHECKPOINTS = 32

# Prompts kept for reuse (llama.cpp's LLAMA_ARG_CACHE_RAM), unless the engine was told otherwise.
PROMPT_CACHE = 8192 * MIB

_CACHE = " cache"


def parts_of(need: Need) -> dict[str, int]:
    """A prediction in parts, by name, in bytes, as station.json has it."""
    caches = {kind + _CACHE: size for kind, size in need.kinds}
    parts = {"weights": need.weights, **caches, "compute": need.compute, "projector": need.projector}
    return {name: size for name, size in parts.items() if size}


@dataclass(frozen=True)
class Resident:
    """Bytes that the processes of models may be resident with, and what that is made of.

    `cache` is what prompts are kept in for reuse, `on_cards` what lies in graphics memory.
    """

    models: tuple[Mapping[str, Any], ...]
    cache: int = 0
    on_cards: int = 0

    @property
    def predicted(self) -> int:
        return sum(int(model["predicted_bytes"]) for model in self.models)

    @property
    def least(self) -> float:
        # What is in graphics memory is no process's resident memory; weights that were read on the way there may still
        # be.
        return max(0, self.predicted - self.on_cards) * UNDER

    @property
    def checkpoints(self) -> int:
        return CHECKPOINTS * sum(size for model in self.models for name, size in _caches(model) if FULL not in name)

    @property
    def most(self) -> float:
        return self.predicted * (1 + TOLERANCE) + PROCESS_BYTES * len(self.models) + self.cache + self.checkpoints

    def holds(self, resident: int) -> bool:
        return self.least <= resident <= self.most

    def told(self) -> str:
        """The range and its parts."""
        programs = PROCESS_BYTES * len(self.models)
        more = {"programs": programs, "prompt cache": self.cache, "checkpoints of prompts": self.checkpoints}
        parts = "".join(f", {size // MIB} MiB {name}" for name, size in more.items() if size)
        return (
            f"resident {self.least / MIB:.0f} to {self.most / MIB:.0f} MiB "
            f"({UNDER:.0%} of the prediction to {1 + TOLERANCE:.0%} of it{parts})"
        )


@dataclass(frozen=True)
class Reserved:
    """What Ollama may say that it reserved for models.

    It reads its server's log, and of a model that has more than one kind of cache it counts one alone (seen with
    0.32.15: 361 MiB for a Gemma 3 of 457, whose caches are 96 and 22 MiB). The other may be missing, or not.
    """

    models: tuple[Mapping[str, Any], ...]
    tolerance: float = TOLERANCE

    @property
    def predicted(self) -> int:
        return sum(int(model["predicted_bytes"]) for model in self.models)

    @property
    def uncounted(self) -> int:
        """Bytes that may be missing."""
        return sum(sum(sizes) - min(sizes) for model in self.models if (sizes := [size for _, size in _caches(model)]))

    def holds(self, said: int) -> bool:
        slack = self.tolerance * self.predicted
        return self.predicted - self.uncounted - slack <= said <= self.predicted + slack

    def told(self) -> str:
        """The range and its parts."""
        least = self.predicted * (1 - self.tolerance) - self.uncounted
        less = f", {self.uncounted // MIB} MiB less where it counts one kind of cache alone" if self.uncounted else ""
        most = self.predicted * (1 + self.tolerance)
        return f"reserved {least / MIB:.0f} to {most / MIB:.0f} MiB (within {self.tolerance:.0%}{less})"


def parts_told(model: Mapping[str, Any]) -> str:
    """What a prediction is made of: " (weights 93, full attention cache 180, compute 16 MiB)"; "" where nobody wrote
    it down.
    """
    parts: Mapping[str, int] = model.get("predicted_parts") or {}
    return f" ({', '.join(f'{name} {size / MIB:.0f}' for name, size in parts.items())} MiB)" if parts else ""


def _caches(model: Mapping[str, Any]) -> list[tuple[str, int]]:
    parts: Mapping[str, int] = model.get("predicted_parts") or {}
    return [(name, size) for name, size in parts.items() if name.endswith(_CACHE)]
