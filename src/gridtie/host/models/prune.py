"""Removes models that the station installed and that are no longer declared. Only on request.

Never removed: a name that is not in the record of what was installed, a name that somebody has put another model under,
and a file that any remaining model of the store needs, of whatever registry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Sequence

from .owned import OwnedModels
from .store import Store


@dataclass(frozen=True)
class Prunable:
    """What of one engine's store may go: names, and blobs (digests) that nothing else needs, with their bytes."""

    engine: str
    store: Store
    names: Sequence[str]
    blobs: Sequence[str]
    bytes: int


def prunable(engine: str, store: Store, owned: OwnedModels, keep: Collection[str]) -> Prunable:
    """What may go, where the models `keep` stay. Raises StoreError where a manifest that has to stay cannot be read:
    then nobody knows which files it needs.
    """
    names = [name for name, digest in owned.names(engine).items() if name not in keep and _is(store, name, digest)]
    going = {store.manifest_path(name) for name in names}
    freed = set(owned.to_delete(engine))
    needed: set[str] = set()
    for path, manifest in store.every_manifest():
        (freed if path in going else needed).update(layer.digest for layer in manifest.blobs)
    blobs = sorted(digest for digest in freed - needed if store.blob(digest).is_file())
    return Prunable(engine, store, sorted(names), blobs, sum(store.blob(digest).stat().st_size for digest in blobs))


def prune(found: Prunable, owned: OwnedModels) -> None:
    """Remove it. Names go first: a model that lists and does not run would be worse than files that nobody needs. Those
    are noted before, so that a run after a killed one removes them as well.
    """
    gone = [name for name in owned.names(found.engine) if found.store.read(name) is None]
    if not found.names and not found.blobs and not gone:
        return
    owned.note_deletion(found.engine, found.blobs)
    for name in found.names:
        found.store.remove(name)
    for digest in found.blobs:
        found.store.blob(digest).unlink(missing_ok=True)
    owned.forget(found.engine, [*found.names, *gone])


def _is(store: Store, name: str, digest: str) -> bool:
    manifest = store.read(name)
    return manifest is not None and manifest.digest == digest
