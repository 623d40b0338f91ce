"""A mirror as plain files: release archives with their sums, and models as Ollama's puller asks for them.

Any web server can hand the directory out; `config/mirror.nginx.conf` has the headers that Ollama wants. Paths below it:

    ollama/v<version>/<file>                      a release archive, as upstream names it
    ollama/v<version>/sha256sum.txt               lines `<hex>  ./<file>`, as upstream writes them
    v2/<namespace>/<model>/manifests/<tag>        a model's manifest; its sha256 is the model's digest
    v2/<namespace>/<model>/blobs/sha256:<hex>     what the manifest lists

`gridtie_mirror_url` is the address of that directory. Nothing is visible before it is whole: files are renamed into
place, and a list (sums, manifest) comes after what it lists.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Mapping

from .store import Manifest, Store, sha256_of

SUMS = "sha256sum.txt"

_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(\w.*)")


class MirrorError(Exception):
    """A mirror's file is not what it must be; the message names it and says what to do."""


def release_path(version: str, file: str) -> str:
    """Where a file of Ollama's release lies below a mirror's address."""
    return f"ollama/v{version}/{file}"


def parse_sums(text: str, where: str) -> dict[str, str]:
    """File name to sha256 of a sums file as `sha256sum` writes it; a leading `./` of a name is dropped.

    Raises MirrorError for a line that is anything else, a name that comes twice with different sums, or no line at all:
    half a list is a download that was cut off or somebody's error page.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.rstrip())
        if not match:
            raise MirrorError(
                f"{where}, line {number}: `<64 hexadecimal digits>  ./<name>` expected, {line!r:.80} found"
            )
        sha256, name = match.groups()
        if sums.setdefault(name, sha256) != sha256:
            raise MirrorError(f"{where}, line {number}: {name} is listed twice with different sums")
    if not sums:
        raise MirrorError(f"{where} lists no file")
    return sums


def format_sums(sums: Mapping[str, str]) -> str:
    """The sums as upstream writes them, sorted by name."""
    return "".join(f"{sums[name]}  ./{name}\n" for name in sorted(sums))


class Mirror:
    """The directory `root` of a mirror."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def release(self, version: str, file: str) -> Path:
        return self.root / release_path(version, file)

    def add_release(self, version: str, path: Path) -> str:
        """Take a checked archive in, under its own name, by moving it; returns its sha256."""
        sha256 = sha256_of(path)
        target = self.release(version, path.name)
        _put_file(path, target, move=True)
        listed = target.with_name(SUMS)
        sums = parse_sums(listed.read_text(encoding="utf-8"), str(listed)) if listed.is_file() else {}
        _put_text({**sums, path.name: sha256}, listed)
        return sha256

    def has_release(self, version: str, file: str, sha256: str) -> bool:
        """Whether that archive is here, whole, and in the list of sums."""
        path, listed = self.release(version, file), self.release(version, SUMS)
        if not (path.is_file() and listed.is_file()):
            return False
        known = parse_sums(listed.read_text(encoding="utf-8"), str(listed)).get(file)
        return known == sha256 == sha256_of(path)

    def model(self, name: str) -> Path:
        """Directory of `[namespace/]model[:tag]`."""
        path = name.partition(":")[0]
        return self.root / "v2" / (path if "/" in path else f"library/{path}")

    def has_model(self, name: str, manifest: Manifest) -> bool:
        """Whether the model is here with exactly this manifest and all its blobs, by size."""
        directory = self.model(name)
        listed = directory / "manifests" / (name.partition(":")[2] or "latest")
        if not listed.is_file() or listed.read_bytes() != manifest.raw:
            return False
        blobs = ((directory / "blobs" / layer.digest, layer.size) for layer in manifest.blobs)
        return all(path.is_file() and path.stat().st_size == size for path, size in blobs)

    def add_model(self, name: str, manifest: Manifest, store: Store) -> None:
        """Publish a model whose checked blobs lie in `store`; a blob gets a second name where the disk allows it."""
        directory = self.model(name)
        for layer in manifest.blobs:
            _put_file(store.blob(layer.digest), directory / "blobs" / layer.digest)
        listed = directory / "manifests" / (name.partition(":")[2] or "latest")
        scratch = _scratch(listed)
        scratch.write_bytes(manifest.raw)
        _reveal(scratch, listed)


def _put_text(sums: Mapping[str, str], target: Path) -> None:
    scratch = _scratch(target)
    scratch.write_text(format_sums(sums), encoding="utf-8")
    _reveal(scratch, target)


def _put_file(source: Path, target: Path, move: bool = False) -> None:
    scratch = _scratch(target)
    try:
        # A model's file never changes, so one file may have two names.
        if move:
            source.replace(scratch)
        else:
            os.link(source, scratch)
    except OSError:
        shutil.copyfile(source, scratch)
        if move:
            source.unlink()
    _reveal(scratch, target)


def _scratch(target: Path) -> Path:
    """A name beside the target that no web server is asked for; what a killed run left there is gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.part")
    scratch.unlink(missing_ok=True)
    return scratch


def _reveal(scratch: Path, target: Path) -> None:
    """Into place, readable for the web server."""
    scratch.chmod(0o644)
    scratch.replace(target)
