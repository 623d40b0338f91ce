"""Models that a person added to this machine by hand: served beside what the inventory declares, until removed.

They are remembered in one file of the models directory, which whoever provisions reads. The inventory's own word about
a model, a context above all, comes before what was said here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Collection, Mapping, Sequence

from ..catalogue import CatalogueError, Pin
from ..json_file import write_json
from .entries import Entry, parse_entry
from .install import InstallError
from .resolve import Row

_SCHEMA = 1
_OWN = ("source", "pin", "by", "since")


@dataclass(frozen=True)
class Added:
    """One model: its entry with its context, the kind of source it comes from, what it is held to, who and when."""

    entry: Entry
    source: str
    by: str
    since: str
    pin: Pin = field(default_factory=Pin)

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def who(self) -> str:
        return f"{self.by}, {self.since}"

    def document(self) -> dict[str, Any]:
        said = {key: value for key, value in asdict(self.entry).items() if value}
        pin = {key: value for key, value in asdict(self.pin).items() if value}
        return {**said, "source": self.source, "pin": pin, "by": self.by, "since": self.since}


def read_added(path: Path) -> list[Added]:
    """What was added, the first one first. Raises InstallError for a file that says something else: models that
    somebody asked for would be forgotten.
    """
    try:
        return _parse_all(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InstallError(
            f"{path} has the models that were added by hand and cannot be read ({error}); mend it, or remove it and "
            "add them again with `gridtie models add`"
        ) from None


def write_added(path: Path, added: Sequence[Added]) -> None:
    """Replace the file at once."""
    # An address may have a password in it.
    write_json(path, {"schema": _SCHEMA, "models": [each.document() for each in added]}, mode=0o600)


def changed(added: Sequence[Added], more: Sequence[Added], gone: Collection[str]) -> list[Added]:
    """The list with `more` and without `gone`; what is added again takes the place of what was."""
    new = {each.name: each for each in more}
    kept = [new.pop(each.name, each) for each in added if each.name not in gone]
    return [*kept, *new.values()]


def beside(rows: Sequence[Row], entries: Sequence[Entry], added: Sequence[Added]) -> list[Row]:
    """What is served: what was resolved, some of it with the context that was asked for here, and the rest of what was
    added, behind it, so that nothing of the resolved changes its place.
    """
    declared = {entry.name for entry in entries if entry.context}
    here = {each.name: each for each in added}
    served = []
    for row in rows:
        mine = here.pop(row[0], None)
        if mine and row[0] not in declared and mine.entry.context != row[1]:
            row = (row[0], mine.entry.context, row[2], f"{row[3]}; its context was asked for by {mine.who}")
        served.append(row)
    return [*served, *((each.name, each.entry.context, each.source, f"added by {each.who}") for each in here.values())]


def outranked(entries: Sequence[Entry], added: Sequence[Added]) -> list[str]:
    """For people: what was added and has been declared since."""
    declared = {entry.name for entry in entries}
    return [
        f"{each.name} was added by hand ({each.who}) and gridtie_models names it now, which counts: "
        f"`gridtie models remove {each.name}` forgets the first"
        for each in added
        if each.name in declared
    ]


def held_to(added: Added, pins: Mapping[str, Pin]) -> Added:
    """With the digests by which it came, so that it is the same model in later runs."""
    pin = pins.get(added.name, Pin())
    merged = Pin(added.pin.gguf or pin.gguf, added.pin.package or pin.package, added.pin.manifest or pin.manifest)
    return replace(added, pin=merged)


def _parse_all(document: Mapping[str, Any]) -> list[Added]:
    if document["schema"] != _SCHEMA:
        raise ValueError(f"schema {_SCHEMA} wanted, found {document['schema']!r:.40}")
    return [_parse(found) for found in document["models"]]


def _parse(found: Mapping[str, Any]) -> Added:
    entry = parse_entry({key: value for key, value in found.items() if key not in _OWN})
    if not entry.context:
        raise CatalogueError((entry.name,), "it has no context")
    pin = Pin(**{key: str(value) for key, value in found["pin"].items()})
    return Added(entry, str(found["source"]), str(found["by"]), str(found["since"]), pin)
