"""Memory as predicted, and room on the disk."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.checks.graphics import placed
from gridtie.host.doctor.look import Look

MIB = 1 << 20

# What a llama.cpp server process takes beside its model (Python, the library, heap, threads), with its launcher:
# about 130 MiB measured with the probe model on both engines.
PROCESS_BYTES = 192 * MIB
# The formula is within 2 % of the server's own dry run; the rest is what allocators and page tables add.
TOLERANCE = 0.05
# On graphics cards other libraries take other compute buffers. Not measured: no card was at hand.
TOLERANCE_ON_CARDS = 0.25
# Of the prediction, compute buffers that no request has filled yet are reserved, but not resident.
UNDER = 0.5
# Prompts kept for reuse (llama.cpp's LLAMA_ARG_CACHE_RAM, MiB): beyond the prediction, bounded by configuration.
CACHE_VARIABLE, CACHE_DEFAULT_MIB = "LLAMA_ARG_CACHE_RAM", 8192

MIN_FREE_BYTES = 2 * 1024 * MIB


def memory(look: Look) -> Finding:
    """Two looks: what the engine says it reserved (only Ollama does), and what its processes really hold."""
    loaded, stated = _loaded(look)
    names = ", ".join(str(model["name"]) for model in loaded)
    unknown = [str(model["name"]) for model in loaded if model["predicted_bytes"] is None]
    if unknown:
        return good(
            f"{names}: nothing is known of the memory that {', '.join(unknown)} should take, so none was judged"
        )
    predicted = sum(int(model["predicted_bytes"]) for model in loaded)
    cache = int(look.engine_environment().get(CACHE_VARIABLE, CACHE_DEFAULT_MIB)) * MIB
    used = look.engine_resident()
    on_cards = _on_cards(look)
    tolerance = TOLERANCE_ON_CARDS if on_cards else TOLERANCE
    # What is in graphics memory is no process's resident memory; weights that were read on the way there may still be.
    least = max(0, predicted - on_cards) * UNDER
    most = predicted * (1 + TOLERANCE) + (PROCESS_BYTES + cache) * len(loaded)
    found = f"{names}: predicted {predicted // MIB} MiB, resident {used // MIB} MiB"
    wanted = (
        f"resident {least / MIB:.0f} to {most / MIB:.0f} MiB (of which {cache * len(loaded) // MIB} MiB prompt cache)"
    )
    ok = bool(loaded) and least <= used <= most
    if stated is not None:
        found += f", reserved {stated // MIB} MiB"
        wanted += f", reserved within {tolerance:.0%} of the prediction"
        ok = ok and abs(stated - predicted) <= tolerance * predicted
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
    if look.engine["kind"] != "ollama" or not (look.metal or look.probe.survey().expected):
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
