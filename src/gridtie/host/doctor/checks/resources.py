"""Memory as predicted, and room on the disk."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from gridtie.host.acceptance.memory import (
    MIB,
    PROMPT_CACHE,
    TOLERANCE,
    TOLERANCE_ON_CARDS,
    Reserved,
    Resident,
    parts_told,
)
from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.checks.graphics import placed
from gridtie.host.doctor.look import Look

# Prompts kept for reuse (llama.cpp's LLAMA_ARG_CACHE_RAM, MiB): beyond the prediction, bounded by configuration.
CACHE_VARIABLE = "LLAMA_ARG_CACHE_RAM"

MIN_FREE_BYTES = 2 * 1024 * MIB


def memory(look: Look) -> Finding:
    """Two looks: what the engine says it reserved (only Ollama does), and what its processes really hold."""
    loaded, stated = _loaded(look)
    unknown = [str(model["name"]) for model in loaded if model["predicted_bytes"] is None]
    if unknown:
        return good(f"nothing is known of the memory that {', '.join(unknown)} should take, so none was judged")
    cache = int(look.engine_environment().get(CACHE_VARIABLE, PROMPT_CACHE // MIB)) * MIB
    used = look.engine_resident()
    on_cards = _on_cards(look)
    resident = Resident(tuple(loaded), cache * len(loaded), on_cards)
    parts = "; ".join(f"{model['name']}{parts_told(model)}" for model in loaded)
    found = f"{parts}: predicted {resident.predicted // MIB} MiB, resident {used // MIB} MiB"
    wanted = resident.told()
    ok = bool(loaded) and resident.holds(used)
    if stated is not None:
        reserved = Reserved(tuple(loaded), TOLERANCE_ON_CARDS if on_cards else TOLERANCE)
        found += f", reserved {stated // MIB} MiB"
        wanted += f"; {reserved.told()}"
        ok = ok and reserved.holds(stated)
    if not ok:
        return bad(found, wanted, f"see the engine's log (`{look.log}`), and compare with `gridtie fit --why`")
    return good(found, wanted)


def _loaded(look: Look) -> tuple[list[Mapping[str, Any]], Optional[int]]:
    """The models in memory, and the bytes that Ollama says they take; the embedded engine does not say."""
    if look.engine["kind"] != "ollama":
        return list(look.models), None
    sizes = {model["name"]: int(model["size"]) for model in look.in_memory}
    loaded = [model for model in look.models if model["name"] in sizes]
    return loaded, sum(sizes[model["name"]] for model in loaded)


def _on_cards(look: Look) -> int:
    """Bytes of the station's models in graphics memory; not asked where there is no card."""
    if look.engine["kind"] != "ollama" or not (look.metal or look.survey.expected):
        return 0
    names = {model["name"] for model in look.models}
    return sum(model.on_cards for model in placed(look) if model.name in names)


def disk(look: Look) -> Finding:
    free = look.probe.free_bytes(look.state_dir)
    found, wanted = f"{free // MIB} MiB free at {look.state_dir}", f"{MIN_FREE_BYTES // MIB} MiB"
    if free < MIN_FREE_BYTES:
        return bad(found, wanted, "free space; without it the ledger cannot be written and requests are refused")
    return good(found, wanted)


CHECKS = (
    Check(
        "memory.fit",
        "the engine uses the memory that was predicted",
        memory,
        needs=("engine.deterministic", "engine.reachable"),
    ),
    Check("disk.space", "there is room for the ledger", disk, needs=("config.station",)),
)
