"""What a person may say of one model: a name of the catalogue, alone or with a context, or a model of one's own.

The same entries stand in `gridtie_models` and in the list of models that were added by hand.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import asdict, dataclass
from typing import Any, Mapping, Optional, Sequence, Union

from ..catalogue import Catalogue, CatalogueError, Pin, name_fault, parse_lock
from ..fit.judge import beyond_training

SETTING = "gridtie_models"

# Fewer tokens no chat template leaves room in.
LEAST_CONTEXT = 256

_KEYS = ("name", "context", "gguf", "sha256", "ollama", "manifest")
# Where a model of one's own lies, and the hash that it is held to.
_SOURCES = {"gguf": "sha256", "ollama": "manifest"}
_HASHES = {"sha256": "gguf", "manifest": "manifest"}
_WANTED = "wanted: a name of the catalogue, or {name, context}"


@dataclass(frozen=True)
class Entry:
    """One model as it is asked for. `context` is in tokens, 0 where the station decides.

    A model of one's own has `gguf` (path or URL) with `sha256`, or `ollama` (a name of the Ollama library) with
    `manifest`, the digest of its manifest in hexadecimal; one of the catalogue has none of them.
    """

    name: str
    context: int = 0
    gguf: str = ""
    sha256: str = ""
    ollama: str = ""
    manifest: str = ""

    @property
    def own(self) -> bool:
        """Whether the catalogue need not know it."""
        return bool(self.gguf or self.ollama)

    @property
    def pin(self) -> Pin:
        return Pin(gguf=self.sha256, manifest=self.manifest)

    @property
    def digest(self) -> str:
        """Of its file, where that is known."""
        return f"sha256:{self.sha256}"

    @property
    def remote(self) -> bool:
        return not self.gguf or self.gguf.startswith(("http://", "https://"))

    def document(self) -> Union[str, dict[str, Any]]:
        """As `gridtie_models` says it."""
        said = {key: value for key, value in asdict(self).items() if value}
        return self.name if said.keys() == {"name"} else said


def parse_entries(models: Sequence[Any]) -> list[Entry]:
    """The entries of a list, each once. Raises CatalogueError at the first that cannot be meant."""
    entries: list[Entry] = []
    for index, found in enumerate(models):
        entry = parse_entry(found, index)
        if fault := _at_odds(entry, entries):
            raise CatalogueError((SETTING, index), fault)
        entries += [] if entry in entries else [entry]
    return entries


def entry_faults(models: Sequence[Any], catalogue: Catalogue) -> list[str]:
    """Everything that is wrong with a list, one sentence each."""
    faults: list[str] = []
    entries: list[Entry] = []
    for index, found in enumerate(models):
        try:
            entry = parse_entry(found, index)
        except CatalogueError as error:
            faults.append(str(error))
            continue
        fault = _at_odds(entry, entries) or unmeant(entry, catalogue)
        faults += [f"{SETTING}[{index}]: {fault}"] if fault else []
        entries.append(entry)
    return faults


def parse_entry(found: Any, index: Optional[int] = None) -> Entry:
    """One entry, the one at `index` of the list. Raises CatalogueError that names the key."""
    path = (SETTING,) if index is None else (SETTING, index)
    if isinstance(found, str) and found.strip():
        return Entry(found)
    if not isinstance(found, Mapping):
        raise CatalogueError(path, f"found {found!r:.60}, {_WANTED}")
    for key in found:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KEYS)}"
            raise CatalogueError((*path, str(key)), f"unknown key; {hint}")
    texts = {key: _text(found, key, path) for key in _KEYS if key != "context"}
    if not texts["name"]:
        raise CatalogueError(
            path, f"an entry needs a 'name': found {', '.join(map(str, found)) or 'nothing'}, {_WANTED}"
        )
    _check_source(texts, path)
    pins = {key: _hash(texts[key], pin, texts["name"]) for key, pin in _HASHES.items() if texts[key]}
    if (texts["gguf"] or texts["ollama"]) and (fault := name_fault(texts["name"])):
        raise CatalogueError((*path, "name"), fault)
    return Entry(**{**texts, **pins}, context=_context(found.get("context"), path))


def unmeant(entry: Entry, catalogue: Catalogue) -> str:
    """Why an entry cannot be met by any station with this catalogue, in one sentence; "" where it can."""
    if entry.own:
        taken = f"{entry.name} is a name of the catalogue; give your own model another one"
        return taken if entry.name in catalogue.models else ""
    try:
        trained = catalogue.find(entry.name).shape.context_length
    except KeyError as error:
        return str(error.args[0])
    return beyond_training(entry.name, entry.context, trained)


def _at_odds(entry: Entry, before: Sequence[Entry]) -> str:
    other = any(entry.name == each.name and entry != each for each in before)
    return f"{entry.name} is there twice and differs; leave the entry that is meant" if other else ""


def _text(found: Mapping[str, Any], key: str, path: tuple[Union[str, int], ...]) -> str:
    value = found.get(key, "")
    if not isinstance(value, str):
        raise CatalogueError((*path, key), f"found {value!r:.60}, wanted a text")
    return value


def _check_source(texts: Mapping[str, str], path: tuple[Union[str, int], ...]) -> None:
    given = [key for key in _SOURCES if texts[key]]
    if len(given) > 1:
        raise CatalogueError(path, "gguf and ollama are two sources; one is wanted")
    for key, held_to in _SOURCES.items():
        if texts[key] and not texts[held_to]:
            raise CatalogueError(path, f"an entry with {key!r} needs a text for {held_to!r}: {texts['name']}")
        if texts[held_to] and not texts[key]:
            raise CatalogueError(path, f"an entry with {held_to!r} needs a text for {key!r}: {texts['name']}")


def _hash(value: str, key: str, name: str) -> str:
    """The lock's rule for a sha256, with the lock's words."""
    return str(getattr(parse_lock({"schema": 1, "models": {name: {key: value}}})[name], key))


def _context(value: Any, path: tuple[Union[str, int], ...]) -> int:
    """A whole number; as a text as well, which templates of an inventory make of it."""
    if value is None:
        return 0
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise CatalogueError((*path, "context"), f"found {value!r:.60}, wanted a whole number of tokens such as 32768")
    if number < LEAST_CONTEXT:
        raise CatalogueError((*path, "context"), f"found {number}, wanted {LEAST_CONTEXT} tokens or more")
    return number
