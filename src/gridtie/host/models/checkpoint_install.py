"""Brings a checkpoint to where the engine reads it: from a directory of this machine, or from a hub at one commit.

Only what vLLM reads is taken: safetensors, and the texts beside them. Pickled weights and Python files, which would be
run, are left where they are. What was begun lies beside the target and is continued by the next run; the target appears
when every file of it was checked.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterable, Mapping

from ..fit.checkpoint import CheckpointError
from ..json_file import read_json, write_json
from .checkpoint_files import CONFIG
from .download import DISK_RESERVE, Fetcher, FetchError
from .hugging_face import Listed, Repository, explained, find_repository
from .sources import ObtainError
from .store import copy_and_hash, sha256_of

# What was taken, with each file's sha256; the doctor compares by it.
RECORD = ".gridtie.json"
# Checkpoints are brought by the role engine_vllm alone; where that is told a token of the Hub.
TOKEN_SETTING = "gridtie_vllm_token_file"  # noqa: S105 (a name)
_TAKEN = (".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Source:
    """Where a checkpoint comes from: a directory of this machine, or a repository of the Hub at a commit."""

    place: str
    revision: str = ""

    @property
    def on_hub(self) -> bool:
        return not self.place.startswith("/")


@dataclass(frozen=True)
class Installed:
    """What lies there: the digest over all files, their bytes, and whether this run changed anything."""

    digest: str
    bytes: int
    changed: bool


def check_source(source: Source) -> None:
    """Raises CheckpointError for one that cannot be meant, or whose content nobody could hold to."""
    if source.on_hub and not _COMMIT.fullmatch(source.revision):
        raise CheckpointError(
            f"{source.place}: its revision is {source.revision!r:.60}; wanted is a commit, 40 hexadecimal digits, by "
            "which every file of it can be checked (gridtie_vllm_model.revision)"
        )


def install(
    source: Source,
    target: Path,
    fetcher: Fetcher,
    endpoint: str = "",
    *,
    check: bool = False,
    deep: bool = False,
    say: Callable[[str], None] = lambda message: None,
) -> Installed:
    """Have the checkpoint in `target`; with `check` only say whether it would change. `deep` reads all of it again.

    Raises CheckpointError with nothing visible.
    """
    check_source(source)
    record = _record(target)
    seen = {} if source.on_hub else _seen(source)
    same = record.get("source") == [source.place, source.revision] and seen in ({}, record.get("seen"))
    if same and _holds_all(target, record, deep):
        return Installed(digest_of(record["files"]), _bytes(record), False)
    if check:
        return Installed("", 0, True)
    try:
        scratch = target.with_name(f"{target.name}.part")
        scratch.mkdir(mode=0o755, parents=True, exist_ok=True)
        files = _fetched(source, scratch, fetcher, endpoint, say) if source.on_hub else _copied(source, scratch, say)
        if CONFIG not in files:
            raise CheckpointError(
                f"{source.place}: it has no {CONFIG}; wanted is a checkpoint as transformers writes it"
            )
        for path in scratch.iterdir():
            if path.name not in files:
                path.unlink()
        found = {"source": [source.place, source.revision], "files": files, "seen": seen}
        write_json(scratch / RECORD, found)
        for name in (*files, RECORD):
            (scratch / name).chmod(0o644)
        scratch.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        scratch.rename(target)
    except OSError as error:
        raise CheckpointError(f"{error.filename or target}: {error.strerror or error}") from None
    return Installed(digest_of(files), _bytes(found), True)


def digest_of(files: Mapping[str, Any]) -> str:
    """Of all files together, by the SHA-256 of each: what station.json has."""
    text = "".join(f"{sha256}  {name}\n" for name, (_, sha256) in sorted(files.items()))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _record(target: Path) -> dict[str, Any]:
    found = read_json(target / RECORD)
    return found if isinstance(found, dict) and isinstance(found.get("files"), dict) else {}


def _seen(source: Source) -> dict[str, list[int]]:
    """Length and time of each file in a directory, by which a change shows; empty where it is not there (any more):
    what was taken from it stays.
    """
    try:
        found = {path.name: path.stat() for path in _in_directory(source)}
    except OSError:
        return {}
    return {name: [status.st_size, status.st_mtime_ns] for name, status in found.items()}


def _holds_all(target: Path, record: Mapping[str, Any], deep: bool) -> bool:
    """Whether every file is what was taken; with `deep` by hash, else by length."""
    for name, (size, sha256) in record["files"].items():
        path = target / name
        if not path.is_file() or path.stat().st_size != size or (deep and sha256_of(path) != sha256):
            return False
    return True


def _bytes(record: Mapping[str, Any]) -> int:
    return sum(size for size, _ in record["files"].values())


def _is_taken(name: str) -> bool:
    return "/" not in name and name.isprintable() and not name.startswith(".") and name.lower().endswith(_TAKEN)


def _in_directory(source: Source) -> list[Path]:
    return [path for path in sorted(Path(source.place).iterdir()) if path.is_file() and _is_taken(path.name)]


def _copied(source: Source, scratch: Path, say: Callable[[str], None]) -> dict[str, tuple[int, str]]:
    """Copies: a second name for the same file would change with it."""
    files, paths = {}, _in_directory(source)
    _check_room(source, paths, scratch)
    for path in paths:
        say(f"copying {path.name}")
        with _opened(path) as file:
            files[path.name] = (os.fstat(file.fileno()).st_size, copy_and_hash(file, scratch / path.name))
    return files


def _check_room(source: Source, paths: Iterable[Path], scratch: Path) -> None:
    size, have = (sum(path.stat().st_size for path in some) for some in (paths, scratch.iterdir()))
    free = shutil.disk_usage(scratch).free + have
    if size + DISK_RESERVE > free:
        raise CheckpointError(
            f"{source.place} has {size / 1e9:.2f} GB, {scratch.parent} has {free / 1e9:.2f} GB free, of which "
            f"{DISK_RESERVE / 1e9:.2f} GB stay free; nothing of it was copied: free some space and run again"
        )


def _opened(path: Path) -> BinaryIO:
    """The file, if whoever made a link to it may have it read: copies are for everybody, and made by root.

    Raises CheckpointError.
    """
    link = path.lstat()
    linked = stat.S_ISLNK(link.st_mode)
    file = os.fdopen(os.open(path, os.O_RDONLY | (0 if linked else os.O_NOFOLLOW)), "rb")
    owner = os.fstat(file.fileno()).st_uid
    if linked and link.st_uid not in (0, owner):
        file.close()
        raise CheckpointError(
            f"{path} is a link of user {link.st_uid} to a file of user {owner}; wanted are files of whoever made the "
            "link: put the file itself there"
        )
    return file


def _fetched(
    source: Source, scratch: Path, fetcher: Fetcher, endpoint: str, say: Callable[[str], None]
) -> dict[str, tuple[int, str]]:
    try:
        repository = find_repository(source.place, fetcher, endpoint, source.revision)
        files = {}
        for name, listed in sorted(repository.files.items()):
            if _is_taken(name):
                say(f"fetching {name}")
                files[name] = _fetch(repository, name, listed, scratch / name, fetcher)
    except FetchError as error:
        name = re.sub(r"^.*?/", "", re.sub(r"^https?://", "", source.place))
        raise CheckpointError(explained(error, name, bool(fetcher.token), TOKEN_SETTING) or str(error)) from None
    except ObtainError as error:
        raise CheckpointError(str(error)) from None
    return files


def _fetch(repository: Repository, name: str, listed: Listed, path: Path, fetcher: Fetcher) -> tuple[int, str]:
    """One file, held to what the Hub lists at the commit. Raises CheckpointError, FetchError."""
    if not listed.sha256 and not listed.blob:
        raise CheckpointError(f"{repository.name}: nothing is listed by which {name} could be checked")
    if not (path.is_file() and _holds(path, listed)):
        fetcher.download(repository.url(name), path, listed.sha256, lambda have: None)
    if not _holds(path, listed):
        path.unlink()
        raise CheckpointError(f"{repository.name}: {name} has another content than its commit; nothing of it was kept")
    return path.stat().st_size, sha256_of(path)


def _holds(path: Path, listed: Listed) -> bool:
    if listed.sha256:
        return sha256_of(path) == listed.sha256
    content = path.read_bytes()
    # git's own id of a file's content.
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == listed.blob
