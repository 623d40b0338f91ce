"""Models that somebody copied to the machine: a directory or tar with manifests and blobs in Ollama's layout.

Another engine's store on the same machine is such a directory as well. Everything is checked by its digest on the way
in. A seed is only read: its files are linked where that changes nothing about them, else copied.
"""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path
from typing import BinaryIO, Iterator, Optional, Protocol

from .store import Checked, Manifest, Store, StoreError, copy_and_hash, parse_manifest

_MANIFEST_LIMIT = 1 << 22


class SeedError(Exception):
    """A seed cannot be used; the message names the file, what was found and what to do."""


class Seed(Protocol):
    """Where models lie that need not be fetched."""

    where: str

    def manifest(self, name: str) -> Optional[Manifest]:
        """The manifest of `[namespace/]model:tag`, None where there is none."""
        ...

    def names(self) -> Iterator[str]:
        """Every model that has a manifest."""
        ...

    def holds(self, digest: str) -> Optional[int]:
        """Size of the blob, None where it is not there. Its content is checked when it is given."""
        ...

    def give(self, digest: str, store: Store, scratch: Path) -> bool:
        """Put the blob into the store, checked; False where its content is not what its name says."""
        ...

    def costs(self, digest: str, store: Store) -> int:
        """Bytes of disk that giving it takes."""
        ...


class DirectorySeed:
    """A directory that holds `manifests` and `blobs`: an export, a copy of a models directory, another store."""

    def __init__(self, store: Store, checked: Checked) -> None:
        self.where = str(store.root)
        self.store = store
        self._checked = checked

    def manifest(self, name: str) -> Optional[Manifest]:
        return self.store.read(name)

    def names(self) -> Iterator[str]:
        return self.store.names()

    def holds(self, digest: str) -> Optional[int]:
        try:
            return self.store.blob(digest).stat().st_size
        except OSError:
            return None

    def give(self, digest: str, store: Store, scratch: Path) -> bool:
        path = self.store.blob(digest)
        if not self._linkable(path, store):
            with path.open("rb") as file:
                return _copy(file, digest, store, scratch)
        if not self._checked.matches(path, digest):
            return False
        scratch.unlink(missing_ok=True)
        os.link(path, scratch)
        store.add_file(scratch, digest, as_it_is=True)
        return True

    def costs(self, digest: str, store: Store) -> int:
        path = self.store.blob(digest)
        return 0 if self._linkable(path, store) else path.stat().st_size

    def _linkable(self, path: Path, store: Store) -> bool:
        """Whether one inode may have both names: on one file system, readable by the engine, and nobody but root and
        the store's owner can write to it, now or later.
        """
        status, root = path.stat(), store.root
        while not root.exists():
            root = root.parent
        trusted = {0, store.owner[0] if store.owner else os.getuid()}
        closed = status.st_uid in trusted and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return closed and bool(status.st_mode & stat.S_IROTH) and status.st_dev == root.stat().st_dev


class TarSeed:
    """An uncompressed tar of such a directory. Members are read where they lie; nothing is unpacked."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self._path = path
        self._members: dict[str, tuple[int, int]] = {}
        try:
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    if member.isreg() and not member.issparse():
                        self._members[_inner(member.name)] = (member.offset_data, member.size)
        except tarfile.TarError as error:
            raise SeedError(
                f"{path} is not a tar that can be read ({error}); wanted is an uncompressed one with manifests/ and "
                "blobs/, as `gridtie models export` writes it. Unpack a compressed one and name the directory"
            ) from error
        _refuse_empty(path, self._members)

    def manifest(self, name: str) -> Optional[Manifest]:
        inner = Store(Path()).manifest_path(name).as_posix()
        offset, size = self._members.get(inner, (0, 0))
        if not 0 < size <= _MANIFEST_LIMIT:
            return None
        with self._path.open("rb") as file:
            file.seek(offset)
            try:
                return parse_manifest(file.read(size))
            except StoreError:
                return None

    def names(self) -> Iterator[str]:
        return Store.names_of(Path(name) for name in self._members if name.startswith("manifests/"))

    def holds(self, digest: str) -> Optional[int]:
        found = self._members.get(f"blobs/{digest.replace(':', '-')}")
        return found[1] if found else None

    def give(self, digest: str, store: Store, scratch: Path) -> bool:
        offset, size = self._members[f"blobs/{digest.replace(':', '-')}"]
        with self._path.open("rb") as file:
            file.seek(offset)
            return _copy(file, digest, store, scratch, size)

    def costs(self, digest: str, store: Store) -> int:
        return self.holds(digest) or 0


def open_seed(path: Path, checked: Checked) -> Seed:
    """The seed at `path`. Raises SeedError where it is none."""
    if path.is_file():
        return TarSeed(path)
    if not path.is_dir():
        raise SeedError(f"{path} is not there; wanted was a directory or a tar with manifests/ and blobs/ on this host")
    for root in (path, path / "models"):
        if (root / "manifests").is_dir() and (root / "blobs").is_dir():
            return DirectorySeed(Store(root), checked)
    inside = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
    raise SeedError(f"{path} has no manifests/ and blobs/ in it (found: {inside}); name the directory that has them")


def _inner(name: str) -> str:
    """A member's name from `manifests` or `blobs` on, whatever directory was packed."""
    parts = Path(name).parts
    for index, part in enumerate(parts):
        if part in ("manifests", "blobs"):
            return "/".join(parts[index:])
    return name


def _refuse_empty(path: Path, members: dict[str, tuple[int, int]]) -> None:
    if not any(name.startswith("blobs/") for name in members):
        inside = ", ".join(sorted(members)[:5]) or "nothing"
        raise SeedError(f"{path} has no blobs/ in it (found: {inside}); `gridtie models export` writes one that has")


def _copy(file: BinaryIO, digest: str, store: Store, scratch: Path, size: Optional[int] = None) -> bool:
    """Copy into the store what was hashed on the very way, so that nobody changes it in between."""
    if copy_and_hash(file, scratch, size) != digest.split(":")[1]:
        scratch.unlink()
        return False
    store.add_file(scratch, digest)
    return True
