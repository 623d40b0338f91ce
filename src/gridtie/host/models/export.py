"""Copies models out of a store, as a directory or tar that another machine takes over (`gridtie_models_seed`).

Every blob is hashed on the way out, so that damage is noticed where it can still be repaired. The result appears under
its name when it is whole; what a killed run left is begun anew (tar) or continued (directory).
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, Callable, Collection, Mapping

from .store import NAMESPACE, Layer, Manifest, Store, copy_and_hash, own_name, sha256_of


class ExportError(Exception):
    """Nothing usable was written; the message says what was found and what to do."""


def chosen(store: Store, names: Collection[str]) -> dict[str, Manifest]:
    """The manifests to export by name: each model as it is served, and the library's manifest that it was made from.

    `names` are the catalogue's, empty for all models of the station. Raises ExportError.
    """
    served = {name.partition("/")[2] for name in store.names() if name.startswith(f"{NAMESPACE}/")}
    unknown = sorted(set(names) - served)
    if unknown or not served:
        has = ", ".join(sorted(served)) or "none"
        raise ExportError(f"this station does not have {', '.join(unknown) or 'any models'}; it has: {has}")
    found: dict[str, Manifest] = {}
    for name in sorted(names or served):
        model = store.read(own_name(name))
        if model is None:
            raise ExportError(f"the manifest of {name} cannot be read; run `make site`, which writes it anew")
        found[own_name(name)] = model
        for each in store.names():
            base = None if each.startswith(f"{NAMESPACE}/") else store.read(each)
            if base and model.model in base.layers:
                found[each] = base
    return found


def export(store: Store, manifests: Mapping[str, Manifest], target: Path, say: Callable[[str], None]) -> int:
    """Write them to `target`, a tar if its name ends so, else a directory; bytes of the blobs. Raises ExportError."""
    layers = {layer.digest: layer for manifest in manifests.values() for layer in manifest.blobs}
    files = {store.manifest_path(name).relative_to(store.root).as_posix(): m.raw for name, m in manifests.items()}
    try:
        if target.suffix == ".tar":
            _tar(store, files, list(layers.values()), target, say)
        else:
            _directory(store, files, list(layers.values()), target, say)
    except OSError as error:
        raise ExportError(f"{error.filename or target}: {error.strerror or error}") from error
    return sum(layer.size for layer in layers.values())


def _directory(
    store: Store, files: Mapping[str, bytes], layers: list[Layer], target: Path, say: Callable[[str], None]
) -> None:
    (target / "blobs").mkdir(parents=True, exist_ok=True)
    for layer in layers:
        path = target / "blobs" / layer.digest.replace(":", "-")
        if path.is_file() and sha256_of(path) == layer.digest.split(":")[1]:
            continue
        say(f"{layer.digest[7:19]} {layer.size / 1e9:.2f} GB")
        scratch = target / f".{path.name}"
        with store.blob(layer.digest).open("rb") as file:
            _undamaged(copy_and_hash(file, scratch), layer)
        scratch.replace(path)
    for name, content in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _tar(
    store: Store, files: Mapping[str, bytes], layers: list[Layer], target: Path, say: Callable[[str], None]
) -> None:
    scratch = target.with_name(f".{target.name}.partial")
    try:
        with tarfile.open(scratch, "w", format=tarfile.GNU_FORMAT) as archive:
            for name, content in files.items():
                _add(archive, name, io.BytesIO(content), len(content))
            for layer in layers:
                say(f"{layer.digest[7:19]} {layer.size / 1e9:.2f} GB")
                with store.blob(layer.digest).open("rb") as file:
                    hashed = _Hashed(file)
                    _add(archive, f"blobs/{layer.digest.replace(':', '-')}", hashed, layer.size)
                _undamaged(hashed.digest.hexdigest(), layer)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def _add(archive: tarfile.TarFile, name: str, content: Any, size: int) -> None:
    """A member with nothing of this machine in it, so that the same models make the same tar."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    archive.addfile(member, content)


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self.digest.update(block)
        return block


def _undamaged(found: str, layer: Layer) -> None:
    if found != layer.digest.split(":")[1]:
        raise ExportError(
            f'{layer.digest} is damaged in this station\'s store; `make site ARGS="-e gridtie_models_deep=true"` '
            "fetches it again"
        )
