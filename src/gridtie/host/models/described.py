"""A station's models as station.json and the embedded engine's list hold them, with the memory that they take."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, Mapping, Optional

from ..acceptance.memory import parts_of
from ..catalogue import DerivedSource, Model
from ..fit.judge import served_purposes
from ..fit.layers import UnknownArchitecture
from ..fit.memory import Need, Settings, need, need_of_file
from .install import Installer, Wanted
from .last_word import LastWord
from .order import Order, settings_of
from .resolve import (
    Request,
)
from .store import Manifest

# The first port of the embedded engine; each model's server has its own (compose/compose.yaml exposes them).
EMBEDDED_PORT = 8080
# Recipes of derived models that call tools only where they are held to a schema of them (tool_calls.py).
HELD_CALLS = ("tools",)


def described(
    order: Order,
    installer: Installer,
    words: LastWord,
    scores: Mapping[str, float],
    request: Request,
    index: int,
    wanted: Wanted,
    row: tuple[str, int, str, str],
    found: Optional[Manifest],
) -> dict[str, Any]:
    """One model as station.json holds it. Before it is there, size and need are the catalogue's."""
    model = wanted.model
    settings = settings_of(order, wanted.context)
    embedded = order.engine == "embedded"
    return {
        "name": wanted.own_name,
        "catalogue": model.name,
        "dialect": "openai" if embedded else "ollama",
        "url": f"http://engine:{EMBEDDED_PORT + index}" if embedded else order.ollama_url,
        "context": wanted.context,
        "parallel": order.parallel,
        "digest": (found.model.digest if embedded else found.digest) if found else "",
        "quantisation": _quantisation(model, installer, found),
        "source": wanted.source.kind,
        "capabilities": list(model.capabilities),
        "purposes": served_purposes(model, request.wishes({}, frozenset())),
        "score": scores.get(model.name),
        "bytes": found.model.size if found else model.file.bytes,
        **_predicted(model, installer, words, found, settings),
        "trained_context": model.shape.context_length,
        "larger_contexts": _larger(model, installer, words, found, settings),
        "why": row[3],
        "held_calls": isinstance(wanted.source, DerivedSource) and wanted.source.recipe in HELD_CALLS,
        "file": f"{order.engine}/blobs/{found.model.digest.replace(':', '-')}" if found else "",
    }


def embedded_entry(model: Mapping[str, Any]) -> dict[str, Any]:
    entry = {
        "name": model["name"],
        "path": model["file"],
        "port": int(str(model["url"]).rpartition(":")[2]),
        "context": model["context"],
        "parallel": model["parallel"],
    }
    return {**entry, "embedding": True} if "embeddings" in model["capabilities"] else entry


def _quantisation(model: Model, installer: Installer, found: Optional[Manifest]) -> str:
    """As the file says; where it does not, or is not there yet, as the catalogue does."""
    told = installer.header(found).quantisation if found else "unknown"
    return model.file.quantisation if told == "unknown" else told


def _predicted(
    model: Model, installer: Installer, words: LastWord, found: Optional[Manifest], settings: Settings
) -> dict[str, Any]:
    """The memory of a model, whole and in parts; None where nothing is known of its architecture. Its file is the
    authority, and the engine above that: the catalogue's figures were good enough to choose by.
    """
    needed: Optional[Need] = None
    with suppress(UnknownArchitecture):
        if found is None:
            needed = need(model.shape, model.file.tensors, settings)
        else:
            needed = replace(need_of_file(installer.header(found), settings), projector=found.projector_bytes)
    if found is not None:
        needed = words.corrected(needed, found.model.digest, settings)
    if needed is None:
        return {"predicted_bytes": None, "predicted_parts": {}}
    return {"predicted_bytes": needed.total, "predicted_parts": parts_of(needed)}


def _larger(
    model: Model, installer: Installer, words: LastWord, found: Optional[Manifest], settings: Settings
) -> list[list[int]]:
    """What larger contexts would take, in bytes: twice as much each time, up to what the model was trained for."""
    trained = model.shape.context_length
    contexts: list[int] = []
    while settings.context << (len(contexts) + 1) < trained:
        contexts.append(settings.context << (len(contexts) + 1))
    needs = [
        (context, _predicted(model, installer, words, found, replace(settings, context=context))["predicted_bytes"])
        for context in ([*contexts, trained] if trained > settings.context else [])
    ]
    return [[context, size] for context, size in needs if size is not None]
