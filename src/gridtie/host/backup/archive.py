"""The file that a backup is: a gzipped tar whose first member, the manifest, says what must follow, with every hash.

Nothing in such a file is believed. A reader takes plain files alone, in the manifest's order and of its sizes, and
reads the tar's blocks itself: `tarfile` would follow links, make devices, and read a header of any length into memory.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
import time
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Iterator, Mapping, Optional, Union

from gridtie.host.paths import StationError

SCHEMA = 1
MANIFEST = "manifest.json"

_CHUNK = 1 << 20
_BLOCK = tarfile.BLOCKSIZE
# The names of some thousand files; a station has some dozen.
_LARGEST_MANIFEST = 4 << 20
# A name takes a hundred bytes of a header; a longer one would need a second kind of member.
_LONGEST_NAME = 100
# Words of the directories above, then names of plain, visible files.
_NAME = re.compile(r"[a-z]+(/[^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]*){1,4}")
_HEX = re.compile(r"[0-9a-f]{64}")

Content = Union[bytes, Path]


class BackupError(StationError):
    """A backup cannot be made, read or used; the message says what was found and what to do."""


@dataclass(frozen=True)
class Member:
    """One file of a backup, by what it must come to."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself."""

    # UTC, and the version that made it.
    made: str
    version: str
    # The machine's name and the station's.
    host: str
    project: str
    # Of the ledger: its schema, and its rows where this machine's SQLite can count them; 0 and None without it.
    ledger_schema: int = 0
    ledger_rows: Optional[int] = None
    # By name and digest: their files are not inside.
    models: tuple[Mapping[str, str], ...] = ()
    members: Mapping[str, Member] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(member.bytes for member in self.members.values())

    def document(self) -> dict[str, Any]:
        return {"schema": SCHEMA, **asdict(self)}


def member_of(content: Content) -> Member:
    """Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with _opened(content) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Member(digest.hexdigest(), size)


def valid_name(name: str) -> bool:
    """Whether a member can have it: no way out of the directory, nothing hidden, and it fits into a header."""
    return _NAME.fullmatch(name) is not None and len(name.encode("utf-8", "surrogateescape")) < _LONGEST_NAME


def write(file: IO[bytes], manifest: Manifest, contents: Mapping[str, Content]) -> None:
    """Write manifest and members, in the manifest's order. Raises OSError."""
    with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.GNU_FORMAT, compresslevel=6) as tar:
        _add(tar, MANIFEST, json.dumps(manifest.document(), indent=2).encode())
        for name in manifest.members:
            _add(tar, name, contents[name])


def _add(tar: tarfile.TarFile, name: str, content: Content) -> None:
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = 0o600, time.time()
    info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
    with _opened(content) as file:
        tar.addfile(info, file)


def _opened(content: Content) -> IO[bytes]:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


class Archive:
    """A backup that is read once, from its beginning to its end. Every method raises `BackupError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = gzip.GzipFile(path, "rb")
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror}") from None
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def members(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Each member with its bytes, in pieces. Only when this has come to its end is the file known to be whole."""
        for name, wanted in self.manifest.members.items():
            if self._header(name) != wanted.bytes:
                raise self._damaged(f"{name} is not as long as its manifest says")
            pieces = self._content(name, wanted)
            yield name, pieces
            for _ in pieces:
                pass
        self._end()

    def _content(self, name: str, wanted: Member) -> Iterator[bytes]:
        digest, left = hashlib.sha256(), wanted.bytes
        while left:
            piece = self._read(min(left, _CHUNK))
            digest.update(piece)
            left -= len(piece)
            yield piece
        self._read(-wanted.bytes % _BLOCK)
        if digest.hexdigest() != wanted.sha256:
            raise self._damaged(f"{name} has another SHA-256 than its manifest says")

    def _read_manifest(self) -> Manifest:
        size = self._header(MANIFEST)
        if not 0 < size <= _LARGEST_MANIFEST:
            raise self._damaged(f"a manifest of {size} bytes")
        text = self._read(size)
        self._read(-size % _BLOCK)
        try:
            document = json.loads(text)
            schema = document.pop("schema")
            if isinstance(schema, int) and schema > SCHEMA:
                raise BackupError(
                    f"{self._path} is of a newer gridtie (form {schema}, this one reads {SCHEMA}); restore it with that"
                )
            return _manifest(document)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise self._damaged(f"its manifest is none ({type(error).__name__}: {error})") from None

    def _header(self, name: str) -> int:
        """The size of the member that begins here, which must be a plain file of this name."""
        try:
            info = tarfile.TarInfo.frombuf(self._read(_BLOCK), "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise self._damaged(f"{name} should begin where no file does") from None
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.name != name:
            kind = "a file" if info.isreg() else "something that is no plain file"
            raise self._damaged(f"{kind} named {info.name[:_LONGEST_NAME]!r} stands where {name} should")
        return info.size

    def _end(self) -> None:
        """Nothing may follow but two empty blocks, which end a tar, and what fills its last record."""
        most = 2 * _BLOCK + tarfile.RECORDSIZE
        rest = self._read_some(most + 1)
        if len(rest) > most or rest.strip(b"\0"):
            raise self._damaged("there is more in it than its manifest says")

    def _read(self, size: int) -> bytes:
        found = self._read_some(size)
        if len(found) != size:
            raise self._damaged("it ends too early")
        return found

    def _read_some(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except EOFError:
            raise self._damaged("it ends too early") from None
        except (OSError, zlib.error) as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, what: str) -> BackupError:
        return BackupError(f"{self._path} is no whole backup: {what}; take another one")


def _manifest(document: Mapping[str, Any]) -> Manifest:
    """Raises ValueError, KeyError, TypeError."""
    members = {str(name): _member(str(name), found) for name, found in document["members"].items()}
    rows = document["ledger_rows"]
    return Manifest(
        **{key: str(document[key]) for key in ("made", "version", "host", "project")},
        ledger_schema=int(document["ledger_schema"]),
        ledger_rows=None if rows is None else int(rows),
        models=tuple({str(key): str(value) for key, value in model.items()} for model in document["models"]),
        members=members,
    )


def _member(name: str, found: Mapping[str, Any]) -> Member:
    if not valid_name(name):
        raise ValueError(f"{name[:_LONGEST_NAME]!r} is no name of a member")
    digest, size = str(found["sha256"]), found["bytes"]
    if not _HEX.fullmatch(digest) or not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"{name} has no hash and size")
    return Member(digest, size)
