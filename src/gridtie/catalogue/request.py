"""Whether what a person asks for can be meant at all: told on the controller, before a machine is touched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gridtie.catalogue.load import CatalogueFileError, load, load_lock
from gridtie.host.catalogue import CatalogueError, OllamaSource, Pin
from gridtie.host.models.own_files import parse_entry
from gridtie.host.models.resolve import AUTO


def problems(models: Any, catalogue: Path, lock: Path, require_pins: bool = False) -> list[dict[str, str]]:
    """What is wrong with `gridtie_models`, the catalogue and its lock: one `{found, fix}` each, all at once."""
    found = []
    try:
        known, pins = load(catalogue), load_lock(lock)
    except CatalogueFileError as error:
        return [{"found": str(error), "fix": "correct that line"}]
    if models == AUTO:
        return []
    if not isinstance(models, list):
        return [{"found": f"gridtie_models is {models!r}", "fix": "set it to auto, or to a list of names"}]
    for entry in models:
        try:
            if isinstance(entry, Mapping):
                parse_entry(entry)
                continue
            model = known.find(str(entry))
        except CatalogueError as error:
            found.append({"found": str(error), "fix": "give each file of your own as {name, gguf, sha256}"})
            continue
        except KeyError as error:
            found.append({"found": f"gridtie_models: {error.args[0]}", "fix": f"choose names that {catalogue} has"})
            continue
        pin = pins.get(model.name, Pin())
        pinned = any(pin.manifest if isinstance(source, OllamaSource) else pin.gguf for source in model.sources)
        if require_pins and not pinned:
            text = f"gridtie_models: {model.name} has no digest in {lock}, and gridtie_require_pins is on"
            found.append({"found": text, "fix": "add its digest, or choose a model that has one"})
    return found
