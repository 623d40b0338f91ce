"""Memory as predicted, room on the disk, and no graphics card left idle unseen."""

from __future__ import annotations

import json
from typing import Any, Mapping

from gridtie.host.doctor.check import Check, Finding, bad, good
from gridtie.host.doctor.look import Look

MIB = 1 << 20

# What a server process takes beside its model: code, heap, HTTP threads, the launcher.
PROCESS_BYTES = 256 * MIB
# The formula's error against the server's own dry run is at most 2 %; the rest is allocator slack.
OVER = 1.05
# Pages of compute buffers that no request has touched yet are reserved, but not resident.
UNDER = 0.5

MIN_FREE_BYTES = 2 * 1024 * MIB


def memory(look: Look) -> Finding:
    loaded = _loaded(look)
    predicted = sum(int(model["predicted_bytes"]) for model in loaded)
    used = _resident(look)
    names = ", ".join(str(model["name"]) for model in loaded)
    least, most = predicted * UNDER, predicted * OVER + PROCESS_BYTES
    found = f"{used // MIB} MiB resident with {names}, predicted {predicted // MIB} MiB"
    wanted = f"{least / MIB:.0f} to {most / MIB:.0f} MiB"
    if not least <= used <= most:
        return bad(found, wanted, "see what runs in the engine (`docker top`); report the figures with `gridtie fit`")
    return good(found, wanted)


def _loaded(look: Look) -> list[Mapping[str, Any]]:
    """The models that are in memory now: of Ollama, those that it reports; the embedded engine holds all."""
    if look.engine["kind"] != "ollama":
        return list(look.models)
    hop = look.from_router([look.models[0]["url"] + "/api/ps"])[0]
    names = {model["name"] for model in json.loads(hop.body)["models"]}
    return [model for model in look.models if model["name"] in names]


def _resident(look: Look) -> int:
    """Resident bytes of all processes of the engine's container."""
    ran = look.docker("top", look.containers["engine"], "-eo", "pid,rss")
    return sum(int(line.split()[1]) * 1024 for line in ran.out.splitlines()[1:])


def disk(look: Look) -> Finding:
    free = look.probe.free_bytes(look.state_dir)
    found, wanted = f"{free // MIB} MiB free at {look.state_dir}", f"{MIN_FREE_BYTES // MIB} MiB"
    if free < MIN_FREE_BYTES:
        return bad(found, wanted, "free space; without it the ledger cannot be written and requests are refused")
    return good(found, wanted)


def graphics(look: Look) -> Finding:
    """Information until GPUs are supported: an idle card is said, and is no failure."""
    cards = look.probe.graphics()
    if not cards:
        return good("no graphics card that an engine could use")
    names = ", ".join(f"{card.vendor} {card.device} at {card.address}" for card in cards)
    return good(f"{names}: present and not used, this engine computes on the CPU")


CHECKS = (
    Check(
        "memory.fit",
        "the engine uses the memory that was predicted",
        memory,
        needs=("engine.deterministic", "engine.reachable"),
    ),
    Check("disk.space", "there is room for the ledger", disk, needs=("config.station",)),
    Check("gpu.present", "graphics cards", graphics),
)
