"""Ollama's model store on disk: blobs named by their sha256, and manifests that list a model's blobs.

The engine publishes no port and lists what lies here at once, so the store is the place to look and to write. Nothing
half-written is ever visible: files come in beside the store and are renamed into place, manifests last. Sizes are
bytes; digests are `sha256:<64 hex>`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Iterable, Iterator, Optional

from ..json_file import read_table, write_json

REGISTRY = "registry.ollama.ai"  # Baked into every plain model name (Ollama: types/model/name.go).
NAMESPACE = "gridtie"

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
MODEL_TYPE = "application/vnd.ollama.image.model"
PROJECTOR_TYPE = "application/vnd.ollama.image.projector"
PARAMS_TYPE = "application/vnd.ollama.image.params"

# How files that are being written begin, directly below the store; what a killed run left is known by it.
SCRATCH = ".gridtie-"

_CHUNK = 1 << 20


class StoreError(Exception):
    """The store cannot be read or written as wanted; the message says what lies where."""


@dataclass(frozen=True)
class Layer:
    """One blob of a model: what it is, its digest and size."""

    media_type: str
    digest: str
    size: int

    def as_document(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True)
class Manifest:
    """A model: its configuration blob and its layers. `raw` are the bytes that the digest is over."""

    config: Layer
    layers: tuple[Layer, ...]
    raw: bytes

    @property
    def digest(self) -> str:
        """What Ollama's /api/tags shows for the model."""
        return "sha256:" + hashlib.sha256(self.raw).hexdigest()

    @property
    def blobs(self) -> tuple[Layer, ...]:
        return (self.config, *self.layers)

    @property
    def model(self) -> Layer:
        """The layer with the weights. Raises StoreError where there is none or several."""
        found = [layer for layer in self.layers if layer.media_type == MODEL_TYPE]
        if len(found) != 1:
            raise StoreError(f"one model layer was expected in the manifest, found {len(found)}")
        return found[0]

    @property
    def projector_bytes(self) -> int:
        """The size of what turns pictures into embeddings, 0 for a model that has none."""
        return sum(layer.size for layer in self.layers if layer.media_type == PROJECTOR_TYPE)


def parse_manifest(raw: bytes) -> Manifest:
    """Read a manifest's bytes. Raises StoreError where they are something else."""
    try:
        document = json.loads(raw)
        config, *layers = (
            Layer(str(entry["mediaType"]), _checked_digest(entry["digest"]), int(entry["size"]))
            for entry in (document["config"], *document["layers"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"not a model manifest: {error}") from error
    return Manifest(config, tuple(layers), raw)


def _parse_file(path: Path) -> Manifest:
    try:
        return parse_manifest(path.read_bytes())
    except (OSError, StoreError) as error:
        raise StoreError(f"{path}: {error}") from error


def build_manifest(config: Layer, layers: tuple[Layer, ...]) -> Manifest:
    """A manifest of our own; the same parts always give the same bytes, so the same digest."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.as_document(),
        "layers": [layer.as_document() for layer in layers],
    }
    return Manifest(config, layers, json.dumps(document, separators=(",", ":")).encode())


def own_name(name: str) -> str:
    """The name under which a model of the catalogue is served: `gridtie/<model>:<tag>`."""
    return f"{NAMESPACE}/{name}"


class Store:
    """The store below `root`. Files get `owner` (uid, gid) where one is given."""

    def __init__(self, root: Path, owner: Optional[tuple[int, int]] = None) -> None:
        self.root = root
        self.owner = owner

    def blob(self, digest: str) -> Path:
        return self.root / "blobs" / _checked_digest(digest).replace(":", "-")

    def manifest_path(self, name: str) -> Path:
        """Where the manifest of `[namespace/]model[:tag]` lies; the depth is fixed, Ollama skips anything else."""
        path, _, tag = name.partition(":")
        namespace, _, model = path.rpartition("/")
        parts = (REGISTRY, namespace or "library", model, tag or "latest")
        if any(not part or part in (".", "..") or "/" in part for part in parts):
            raise StoreError(f"{name!r} is not a model name of the form [namespace/]model[:tag]")
        return self.root.joinpath("manifests", *parts)

    def read(self, name: str) -> Optional[Manifest]:
        """The manifest of that name, None where there is none or it is no manifest (Ollama ignores it as well)."""
        try:
            return parse_manifest(self.manifest_path(name).read_bytes())
        except (OSError, StoreError):
            return None

    def names(self) -> Iterator[str]:
        """Every model's name, as Ollama lists it."""
        base = self.root / "manifests"
        return self.names_of(path.relative_to(self.root) for path in base.glob("*/*/*/*"))

    @staticmethod
    def names_of(paths: Iterable[Path]) -> Iterator[str]:
        """The names that belong to manifests at these paths below a store's root; those of other registries not."""
        for path in sorted(paths):
            if len(path.parts) == 5 and path.parts[1] == REGISTRY:
                _, _, namespace, model, tag = path.parts
                yield f"{model}:{tag}" if namespace == "library" else f"{namespace}/{model}:{tag}"

    def every_manifest(self) -> Iterator[tuple[Path, Manifest]]:
        """All manifests of the store, of whatever registry. Raises StoreError at one that cannot be read."""
        for path in sorted((self.root / "manifests").glob("*/*/*/*")):
            yield path, _parse_file(path)

    def has(self, layer: Layer, checked: Checked) -> bool:
        """Whether the blob is there whole: right size, and right content as far as `checked` knows or finds."""
        path = self.blob(layer.digest)
        try:
            return path.stat().st_size == layer.size and checked.matches(path, layer.digest)
        except OSError:
            return False

    def add_bytes(self, content: bytes, media_type: str) -> Layer:
        """Store a small blob."""
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self._place(self.blob(digest), content)
        return Layer(media_type, digest, len(content))

    def add_file(self, path: Path, digest: str, as_it_is: bool = False) -> None:
        """Move a complete, checked file of the same file system into the store.

        `as_it_is` leaves owner and mode alone: the file has another name elsewhere.
        """
        target = self.blob(digest)
        self.make_directory(target.parent)
        if not as_it_is:
            self.hand_over(path)
        path.replace(target)
        _sync(target.parent)

    def write(self, name: str, manifest: Manifest) -> None:
        """Make the model visible under `name`. All its blobs must be there."""
        missing = [layer.digest for layer in manifest.blobs if not self.blob(layer.digest).is_file()]
        if missing:
            raise StoreError(f"{name}: the manifest names blobs that are not there: {', '.join(missing)}")
        self._place(self.manifest_path(name), manifest.raw)

    def remove(self, name: str) -> None:
        """Make the model invisible; its blobs stay. Directories that become empty go, as with `ollama rm`."""
        path = self.manifest_path(name)
        path.unlink(missing_ok=True)
        with suppress(OSError):  # Other tags or models live there.
            path.parent.rmdir()
            path.parent.parent.rmdir()

    def make_directory(self, path: Path) -> None:
        if path.is_dir():
            return
        self.make_directory(path.parent)
        path.mkdir(mode=0o755, exist_ok=True)
        self.hand_over(path, 0o755)

    def hand_over(self, path: Path, mode: int = 0o644) -> None:
        """Give the file to the engine's user; the directory above the store keeps everyone else out."""
        path.chmod(mode)
        if self.owner:
            os.chown(path, *self.owner)

    def _place(self, path: Path, content: bytes) -> None:
        """Write a small file at once. The scratch file lies outside `blobs` and `manifests`: Ollama reads those."""
        self.make_directory(path.parent)
        descriptor, name = tempfile.mkstemp(dir=self.root, prefix=SCRATCH)
        scratch = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.hand_over(scratch)
        scratch.replace(path)
        _sync(path.parent)


class Checked:
    """Remembers which files were hashed, by size, time and inode, so that gigabytes are read once and not on every run.

    A file that was changed in any way that the file system notices is hashed again; `deep` hashes everything.
    """

    def __init__(self, path: Path, deep: bool = False) -> None:
        self.path = path
        self.deep = deep
        self._known = {} if deep else read_table(path)
        self._saved = dict(self._known)

    def matches(self, path: Path, digest: str) -> bool:
        stamp = _stamp(path, digest)
        if self._known.get(str(path)) == stamp:
            return True
        if sha256_of(path) != digest.split(":")[1]:
            self._known.pop(str(path), None)
            return False
        self._known[str(path)] = stamp
        return True

    def trust(self, path: Path, digest: str) -> None:
        """Note a file that was hashed before it was moved here."""
        self._known[str(path)] = _stamp(path, digest)

    def save(self) -> None:
        """Keep what was learned; entries of files that are gone are dropped."""
        kept = {path: stamp for path, stamp in self._known.items() if Path(path).exists()}
        if kept != self._saved:
            write_json(self.path, kept)
            self._saved = kept


def _stamp(path: Path, digest: str) -> list[Any]:
    status = path.stat()
    return [digest, status.st_size, status.st_mtime_ns, status.st_ino]


def sha256_of(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def copy_and_hash(file: BinaryIO, target: Path, size: Optional[int] = None) -> str:
    """Copy `size` bytes (all that there are) and give their sha256: what was hashed is what was written."""
    found, left = hashlib.sha256(), size
    with target.open("wb") as copy:
        while block := file.read(_CHUNK if left is None else min(_CHUNK, left)):
            found.update(block)
            copy.write(block)
            left = None if left is None else left - len(block)
        copy.flush()
        os.fsync(copy.fileno())
    return found.hexdigest()


def _checked_digest(digest: Any) -> str:
    text = str(digest)
    algorithm, _, value = text.partition(":")
    if algorithm != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise StoreError(f"{text!r:.90} is not a digest of the form sha256:<64 hexadecimal digits>")
    return text


def _sync(directory: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
