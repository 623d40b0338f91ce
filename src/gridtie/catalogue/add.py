"""Writes what a model's own header says into the catalogue: a new entry, or the shape of one that is there.

The header is read by requests for the first bytes of the library's file. What no header says (scores, the terms of a
licence that is not known, what the model is for) is left to the person who reviews the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from gridtie.catalogue.write import add_entry, replace_entry
from gridtie.host.catalogue import Catalogue, CatalogueError, Model, OllamaSource, Shape, name_fault
from gridtie.host.fit.header import GgufError, Header, Long
from gridtie.host.fit.layers import UnknownArchitecture, shape_of
from gridtie.host.fit.memory import Settings, need
from gridtie.host.models.download import FetchError
from gridtie.host.models.own_files import active_parameters, capabilities_of
from gridtie.host.models.remote_header import library_header
from gridtie.host.models.sources import Means, ObtainError
from gridtie.host.models.store import Manifest, StoreError

# Licences whose terms are known to allow commercial use, as headers name them (SPDX, in lower case).
FREE = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause"}
NOT_ASKED = (FetchError, ObtainError, StoreError, GgufError)

# Where both say the same, the catalogue's own names are used; the rest of what memory depends on is below `header`.
_PLAIN = (
    *("context_length", "block_count", "embedding_length", "feed_forward_length", "vocab_size"),
    *("attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length"),
)
_OF_MEMORY = (
    "attention.",
    "ssm.",
    "shortconv.",
    "expert",
    "embedding_length_per",
    "full_attention",
    "nextn",
    "leading_",
)
_NOT_OF_MEMORY = ("layer_norm", "causal", "scale", "gating_func", "weights_norm")
# Settings at which a shorter description has to need the same memory as the whole header.
_TRIALS = (Settings(4096), Settings(40960, 3), Settings(8192, 2, engine="embedded"), Settings(8192, 1, "f16", False))


def described(name: str, means: Means, today: str) -> tuple[dict[str, Any], list[str]]:
    """An entry of the catalogue for a model of the library, and what is left to a person. Raises one of NOT_ASKED."""
    manifest, header = library_header(name, means)
    licence = str(header.metadata.get("general.license", "unknown"))
    free = FREE.get(licence.lower())
    capabilities = capabilities_of(header)
    document: dict[str, Any] = {
        "name": name,
        "title": str(header.metadata.get("general.name", name)),
        "maker": str(header.metadata.get("general.organization", "unknown")),
        "license": {"id": free or licence, "commercial": free is not None},
        "parameters": header.parameters,
    }
    if active := active_parameters(header):
        document["active_parameters"] = active
    document |= measured(manifest, header, today)
    document |= {"capabilities": list(capabilities), "purposes": _purposes(capabilities)}
    document["sources"] = [{"ollama": name}]
    left = ["scores with source and date", "purposes, the first foremost", "flags, if anything is known against it"]
    if free is None:
        left.insert(0, f"whether the licence ({licence}) allows commercial use: written down is that it does not")
    return document, left


def measured(manifest: Manifest, header: Header, today: str) -> dict[str, Any]:
    """The parts of an entry that come from the file alone: shape, where it was read, file."""
    size = {"bytes": manifest.model.size, "header": header.size, "size": "exact"}
    return {
        "shape_source": {"kind": "header", "date": today},
        "shape": shape_document(header),
        "file": {**size, "quantisation": header.quantisation},
    }


def shape_document(header: Header) -> dict[str, Any]:
    """The shape as the catalogue says it: what memory depends on, or the whole header where less does not suffice."""
    shape = shape_of(header)
    plain = {
        "architecture": shape.architecture,
        "context_length": shape.context_length,
        "block_count": shape.block_count,
        "embedding_length": shape.embedding_length,
        "feed_forward_length": shape.feed_forward_length,
        "head_count": shape.head_count,
        "head_count_kv": shape.head_count_kv,
        "key_length": shape.key_length,
        "value_length": shape.value_length,
        "vocab_size": shape.vocab_size,
    }
    every = {key: value for key, value in shape.header if not isinstance(value, Long) and key != "vocab_size"}
    some = {key: value for key, value in every.items() if _of_memory(key, value)}
    chosen = some if _same(shape, _shortened(shape, some)) else every
    lists = {key: list(value) if isinstance(value, tuple) else value for key, value in chosen.items()}
    return {**plain, "header": lists} if lists else plain


def refresh(
    path: Path, catalogue: Catalogue, names: Sequence[str], means: Means, today: str, say: Callable[[str], None]
) -> list[str]:
    """Read the shapes of those models (none named: of all) anew; what could not be asked. Raises KeyError for a name
    that the catalogue does not have, before anything is asked.
    """
    models = [catalogue.find(name) for name in names] or list(catalogue.models.values())
    problems = []
    for model in models:
        source = next((source for source in model.sources if isinstance(source, OllamaSource)), None)
        if source is None:
            continue
        try:
            found = measured(*library_header(source.name, means), today)
        except NOT_ASKED as error:
            problems.append(f"{model.name}: {error}")
            continue
        if _changed(path, model, found):
            say(f"{model.name}: read from its header")
    return problems


def add(path: Path, catalogue: Catalogue, name: str, means: Means, today: str, after: str = "") -> list[str]:
    """Write a new entry; what is left to a person. Raises CatalogueError, ValueError and one of NOT_ASKED."""
    if fault := name_fault(name):
        raise CatalogueError(("name",), fault)
    if name in catalogue.models:
        raise ValueError(f"the catalogue has {name} already; without ADD its shape is read anew")
    document, left = described(name, means, today)
    add_entry(path, document, after or _relative(catalogue, name))
    return left


def _changed(path: Path, model: Model, found: Mapping[str, Any]) -> bool:
    """Write what was read where it says something else than what stands there, apart from the date."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    entry = next(entry for entry in entries if entry["name"] == model.name)
    same = all(entry.get(key) == found[key] for key in ("shape", "file"))
    if same and model.shape_source.kind == "header":
        return False
    replace_entry(path, model.name, {key: found.get(key, value) for key, value in {**found, **entry}.items()})
    return True


def _relative(catalogue: Catalogue, name: str) -> str:
    """The last model of the same family, whose neighbour the new one becomes; "" where there is none."""
    family = name.partition(":")[0]
    return next((known for known in reversed(list(catalogue.models)) if known.partition(":")[0] == family), "")


def _of_memory(key: str, value: Any) -> bool:
    if key in _PLAIN and not isinstance(value, tuple):
        return False
    lists = key in _PLAIN
    return lists or (key.startswith(_OF_MEMORY) and not any(part in key for part in _NOT_OF_MEMORY))


def _shortened(shape: Shape, some: Mapping[str, Any]) -> Shape:
    return replace(shape, header=tuple(sorted(some.items())))


def _same(whole: Shape, short: Shape) -> bool:
    try:
        return all(need(whole, 0, settings) == need(short, 0, settings) for settings in _TRIALS)
    except UnknownArchitecture:
        return False


def _purposes(capabilities: Sequence[str]) -> list[str]:
    if "embeddings" in capabilities:
        return ["embeddings"]
    found = ["chat", "code"] if "chat" in capabilities else []
    found += ["agents"] if "tools" in capabilities else []
    return [*found, *(["completion"] if "fill-in-the-middle" in capabilities else [])]
