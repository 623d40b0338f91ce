"""Whether what a person asks for can be meant at all: told on the controller, before a machine is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gridtie.catalogue.load import CatalogueFileError, load, load_lock
from gridtie.host.catalogue import Catalogue, CatalogueError, Pin
from gridtie.host.models.own_files import parse_entry
from gridtie.host.models.resolve import AUTO, is_pinned


def problems(models: Any, catalogue: Path, lock: Path) -> list[dict[str, str]]:
    """What is wrong with `gridtie_models`, the catalogue and its lock: one `{found, fix}` each, all at once."""
    found = []
    try:
        known = load(catalogue)
        load_lock(lock)
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
            known.find(str(entry))
        except CatalogueError as error:
            found.append({"found": str(error), "fix": "give each file of your own as {name, gguf, sha256}"})
            continue
        except KeyError as error:
            found.append({"found": f"gridtie_models: {error.args[0]}", "fix": f"choose names that {catalogue} has"})
    return found


def unpinned(names: Sequence[str], catalogue: Catalogue, pins: Mapping[str, Pin]) -> list[str]:
    """Those models, and the one of the smoke test, that no source can be held to a digest of."""
    wanted = [catalogue.models[name] for name in dict.fromkeys(names) if name in catalogue.models]
    wanted += [each for each in [catalogue.smoke_test] if each and each not in wanted]
    return [
        each.name
        for each in wanted
        if not any(is_pinned(source, pins.get(each.name, Pin())) for source in each.sources)
    ]
