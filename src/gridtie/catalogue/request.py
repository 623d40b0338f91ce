"""Whether what a person asks for can be meant at all: told on the controller, before a machine is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gridtie.catalogue.load import CatalogueFileError, load, load_lock
from gridtie.host.catalogue import Catalogue, Pin
from gridtie.host.models.entries import entry_faults
from gridtie.host.models.resolve import AUTO, is_pinned

_ENTRIES = (
    "an entry is a name, {name, context}, or a model of your own ({name, gguf, sha256}, {name, ollama, manifest})"
)


def problems(models: Any, catalogue: Path, lock: Path) -> list[dict[str, str]]:
    """What is wrong with `gridtie_models`, the catalogue and its lock: one `{found, fix}` each, all at once."""
    try:
        known = load(catalogue)
        load_lock(lock)
    except CatalogueFileError as error:
        return [{"found": str(error), "fix": "correct that line"}]
    if models == AUTO:
        return []
    if not isinstance(models, list):
        return [{"found": f"gridtie_models is {models!r}", "fix": "set it to auto, or to a list of names"}]
    return [
        {"found": fault, "fix": f"write entries {_ENTRIES}; {catalogue} has the names"}
        for fault in entry_faults(models, known)
    ]


def names_of(models: Any) -> list[str]:
    """The names in a list of entries; of one that is wrong, as far as they can be told."""
    entries = models if isinstance(models, list) else []
    names = (entry.get("name") if isinstance(entry, Mapping) else entry for entry in entries)
    return [name for name in names if isinstance(name, str)]


def unpinned(names: Sequence[str], catalogue: Catalogue, pins: Mapping[str, Pin]) -> list[str]:
    """Those models, and the one of the smoke test, that no source can be held to a digest of."""
    wanted = [catalogue.models[name] for name in dict.fromkeys(names) if name in catalogue.models]
    wanted += [each for each in [catalogue.smoke_test] if each and each not in wanted]
    return [
        each.name
        for each in wanted
        if not any(is_pinned(source, pins.get(each.name, Pin())) for source in each.sources)
    ]
