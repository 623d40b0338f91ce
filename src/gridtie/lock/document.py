"""What a lock says, and how something learned becomes part of it. Pure.

schema: 1
models:                                  # manifest: of the source `ollama`; package and gguf: of the others
  qwen2.5-coder:7b: {manifest: 1f3c…, gguf: 60e0…, learned_by: alice-laptop}
images:
  docker.io/library/debian:trixie-slim: {digest: sha256:9c1e…, learned_by: gpu-server}
archives:                                # by version and file name
  0.32.15/ollama-linux-amd64-rocm.tar.zst: {sha256: 77ab…, learned_by: gpu-server}
choices:                                 # what each group runs where its hosts say gridtie_models: auto
  workstations:
    for: [code]                          # as gridtie_models_purposes was
    measure: alice-laptop                # the host with the least memory, or the profile that was declared
    models:
      - {name: qwen3.5:9b, context: 32768, for: [code]}
taken_over: [alice-laptop]               # stations whose own pins.json of earlier versions is in here; host/project
                                         # for one that is not the host's usual one
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gridtie.host.fit.agreed import Pick, PicksError, picks_in

SCHEMA = 1

# Which digests there are of a kind of thing, and their form.
_HEX, _DIGEST = re.compile(r"[0-9a-f]{64}"), re.compile(r"sha256:[0-9a-f]{64}")
_FIELDS: dict[str, dict[str, re.Pattern[str]]] = {
    "models": {"manifest": _HEX, "package": _HEX, "gguf": _HEX},
    "images": {"digest": _DIGEST},
    "archives": {"sha256": _HEX},
}
_FORMS = {_HEX: "64 lower-case hexadecimal digits", _DIGEST: "sha256: and 64 lower-case hexadecimal digits"}
_BY = "learned_by"

# Kind to reference to its digests by name.
Learned = Mapping[str, Mapping[str, Mapping[str, str]]]


class LockError(Exception):
    """A lock cannot be used, or cannot hold what was learned. The message says what to do."""


@dataclass(frozen=True)
class Entry:
    """The digests of one thing, and the host that learned them; "" where a person or a command wrote them."""

    digests: Mapping[str, str]
    learned_by: str = ""


@dataclass(frozen=True)
class Choice:
    """What a group of hosts runs, who was the measure, and what models were wanted for; the latter two are empty where
    a person wrote it without them.
    """

    picks: tuple[Pick, ...]
    measure: str = ""
    purposes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conflict:
    """A digest that differs from the one that the lock has."""

    kind: str
    reference: str
    known: str
    known_by: str
    found: str
    found_by: str

    def __str__(self) -> str:
        known_by = f"learned by {self.known_by}" if self.known_by else "written by hand or by make pins"
        return (
            f"{self.found_by} found {self.found} for {_SINGULAR[self.kind]} {self.reference}, and the lock has "
            f"{self.known}, {known_by}"
        )


_SINGULAR = {"models": "the model", "images": "the image", "archives": "the archive"}


@dataclass(frozen=True)
class Lock:
    """Entries by kind and reference, and what else the file holds."""

    entries: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    taken_over: Sequence[str] = ()

    def digests(self, kind: str) -> dict[str, dict[str, str]]:
        """Reference to digests of one kind of thing."""
        return {reference: dict(entry.digests) for reference, entry in self.entries.get(kind, {}).items()}

    def conflicts(self, learned: Learned, host: str) -> list[Conflict]:
        """Where this says something else already."""
        return [
            Conflict(kind, reference, known.digests[name], known.learned_by, digest, host)
            for kind, things in learned.items()
            for reference, digests in things.items()
            if (known := self.entries.get(kind, {}).get(reference))
            for name, digest in digests.items()
            if known.digests.get(name, digest) != digest
        ]

    def with_learned(self, learned: Learned, host: str) -> Lock:
        """This and what a host learned; what is here stays as it is."""
        entries = {kind: dict(self.entries.get(kind, {})) for kind in _FIELDS}
        for kind, things in learned.items():
            for reference, digests in things.items():
                known = entries[kind].get(reference, Entry({}, host))
                entries[kind][reference] = replace(known, digests={**digests, **known.digests})
        return replace(self, entries=entries)

    def with_pins(self, pins: Learned) -> Lock:
        """This with these entries in the place of its own, learned by nobody."""
        replaced = {
            kind: {**self.entries.get(kind, {}), **{name: Entry(dict(found)) for name, found in things.items()}}
            for kind, things in pins.items()
        }
        return replace(self, entries={**self.entries, **replaced})

    def with_choice(self, group: str, choice: Choice) -> Lock:
        """This with what a group runs in the place of what it ran."""
        return replace(self, choices={**self.choices, group: choice})


def parse(document: Any) -> Lock:
    """Check a lock's document. Raises LockError at the first mistake."""
    if not isinstance(document, dict):
        raise LockError("it is damaged: a mapping with `schema` was expected")
    schema = document.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise LockError(
            f"it was written by a newer version of Gridtie (schema {schema}, this one reads {SCHEMA}): "
            "use that version here, too"
        )
    if schema != SCHEMA or isinstance(schema, bool):
        raise LockError(f"it is damaged: schema is {schema!r}, and {SCHEMA} was expected")
    known = ("schema", *_FIELDS, "choices", "taken_over")
    _known_keys(document, known, "")
    entries = {kind: _entries(document, kind) for kind in _FIELDS}
    choices, taken_over = document.get("choices") or {}, document.get("taken_over") or []
    if not isinstance(choices, dict):
        raise LockError("choices: a mapping was expected")
    groups = {str(group): _choice(value, f"choices.{group}") for group, value in choices.items()}
    if not isinstance(taken_over, list) or not all(isinstance(host, str) for host in taken_over):
        raise LockError("taken_over: a list of names was expected")
    return Lock(entries, groups, tuple(taken_over))


def document(lock: Lock) -> dict[str, Any]:
    """A lock as plain data, in an order that does not change from run to run."""

    def entry(found: Entry) -> dict[str, str]:
        return {**found.digests, **({_BY: found.learned_by} if found.learned_by else {})}

    kinds = {
        kind: {name: entry(found) for name, found in sorted(lock.entries.get(kind, {}).items())} for kind in _FIELDS
    }
    choices = {group: _written(choice) for group, choice in sorted(lock.choices.items())}
    return {"schema": SCHEMA, **kinds, "choices": choices, "taken_over": sorted(lock.taken_over)}


def check_learned(learned: Learned) -> None:
    """Raises LockError for what is no digest: a lock that cannot be read again must not be written."""
    for kind, things in learned.items():
        _entries({kind: dict(things)}, kind)


def _entries(document: Mapping[str, Any], kind: str) -> dict[str, Entry]:
    things = document.get(kind) or {}
    if not isinstance(things, Mapping):
        raise LockError(f"{kind}: a mapping was expected")
    return {str(name): _entry(value, kind, f"{kind}.{name}") for name, value in things.items()}


def _entry(value: Any, kind: str, where: str) -> Entry:
    if not isinstance(value, Mapping):
        raise LockError(f"{where}: a mapping with {' or '.join(_FIELDS[kind])} was expected")
    _known_keys(value, (*_FIELDS[kind], _BY), f"{where}: ")
    digests = {name: digest for name, digest in value.items() if name != _BY}
    for name, digest in digests.items():
        form = _FIELDS[kind][name]
        if not isinstance(digest, str) or not form.fullmatch(digest):
            raise LockError(f"{where}.{name}: {_FORMS[form]} were expected (in quotes if all are digits)")
    return Entry(digests, str(value.get(_BY) or ""))


def _choice(value: Any, where: str) -> Choice:
    if not isinstance(value, Mapping) or "models" not in value:
        raise LockError(f"{where}: a mapping with models was expected")
    _known_keys(value, ("for", "measure", "models"), f"{where}: ")
    purposes = value.get("for") or []
    if not isinstance(purposes, list):
        raise LockError(f"{where}.for: a list of purposes was expected")
    try:
        return Choice(picks_in(value["models"]), str(value.get("measure") or ""), tuple(map(str, purposes)))
    except PicksError as error:
        raise LockError(f"{where}.models{error}") from error


def _written(choice: Choice) -> dict[str, Any]:
    known = {"for": list(choice.purposes), "measure": choice.measure}
    told = {key: value for key, value in known.items() if value}
    return {**told, "models": [pick.document() for pick in choice.picks]}


def _known_keys(found: Mapping[Any, Any], known: Sequence[str], where: str) -> None:
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise LockError(f"{where}{key!r} is no key of a lock; {hint}")
