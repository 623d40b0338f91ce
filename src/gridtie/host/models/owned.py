"""What this station put into its stores: the names that it may take away again.

A model that a person pulled by hand, or that was there before the station, is in no record and is never removed. The
record is written before the model becomes visible, so that a killed run forgets nothing; a name whose manifest has
another digest by now has become somebody else's.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Iterable, Mapping

from ..json_file import read_json, write_json


class OwnedModels:
    """Names with their manifests' digests, and blobs that are about to be deleted, by engine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        document = read_json(path)
        # A station from before this record: it wrote everything in its own namespace.
        self.is_new = document is None
        self._names: dict[str, dict[str, str]] = _tables(document, "names")
        self._to_delete: dict[str, list[str]] = _tables(document, "doomed")
        self._adopted = str(document.get("adopted") or "") if isinstance(document, dict) else ""

    def names(self, engine: str) -> Mapping[str, str]:
        return dict(self._names.get(engine, {}))

    @property
    def adopted(self) -> str:
        """The store of somebody else's Ollama that the station put models into; empty where there was none."""
        return self._adopted

    def note_adopted(self, store: str) -> None:
        with self._lock:
            if self._adopted != store:
                self._adopted = store
                self._save()

    def note(self, engine: str, name: str, digest: str) -> None:
        """The station is about to make this model visible."""
        with self._lock:
            known = self._names.setdefault(engine, {})
            if known.get(name) != digest:
                known[name] = digest
                self._save()

    def to_delete(self, engine: str) -> list[str]:
        """Digests of blobs whose deletion was begun."""
        return list(self._to_delete.get(engine, []))

    def note_deletion(self, engine: str, digests: Iterable[str]) -> None:
        """These blobs are about to be deleted; noted first, for a run that finishes what a killed one began."""
        with self._lock:
            self._to_delete[engine] = sorted({*self._to_delete.get(engine, []), *digests})
            self._save()

    def forget(self, engine: str, names: Iterable[str]) -> None:
        """These are gone, and so is everything that was about to be deleted."""
        with self._lock:
            for name in names:
                self._names.get(engine, {}).pop(name, None)
            self._to_delete.pop(engine, None)
            self._save()

    def _save(self) -> None:
        self.is_new = False
        write_json(self._path, {"schema": 1, "names": self._names, "doomed": self._to_delete, "adopted": self._adopted})


def _tables(document: Any, key: str) -> dict[str, Any]:
    found = document.get(key) if isinstance(document, dict) else None
    return dict(found) if isinstance(found, dict) else {}
