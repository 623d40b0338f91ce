"""Trees of Ollama for a native engine: unpacked beside each other, each under a name that says what is in it.

A tree has upstream's layout (`bin/ollama`, `lib/ollama/*`; for a Mac `ollama` with its libraries beside it). It is made
under another name and renamed when it is whole and its program has run, so what is there under its name is right.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Iterable

from .gridtie_command import CommandError, follow
from .gridtie_progress import report

# Where the program is in upstream's archive. In the one for a Mac it is at the top, says scripts/build_darwin.sh of
# Ollama's source; the pinned one was not looked into from here, so that Linux's layout is taken as well.
PROGRAMS = ("ollama", "bin/ollama") if sys.platform == "darwin" else ("bin/ollama",)
# A tree that is being made, and downloads that a later run continues.
_SCRATCH = ".new"
INCOMING = ".incoming"

# Upstream's archive with GPU libraries has 4 GB; an old disk writes 50 MB/s.
_UNPACK_LIMIT_S = 900
_RUN_LIMIT_S = 60
# Where the parts of a release lie in the image that is made from package sources.
_IN_IMAGE = {
    "/usr/bin/ollama": "bin/ollama",
    "/usr/lib/ollama/llama-server": "lib/ollama/llama-server",
    "/opt/gridtie-engine/lib": "lib/ollama/python",
}


class ReleaseError(Exception):
    """A release is not what it should be; the message says what was found and what to do."""


def tree_name(version: str, parts: Iterable[str]) -> str:
    """The name of the tree that is made of these parts (checksums of archives, or an image's tag)."""
    return f"{version}-{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"


class Trees:
    """The directory of all trees, and the link that says which one runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def current(self) -> str:
        """Name of the tree that runs; empty where none does yet."""
        link = self.directory / "current"
        return link.readlink().name if link.is_symlink() else ""

    def has(self, name: str) -> bool:
        return bool(program_of(self.directory / name))

    def begin(self) -> Path:
        """An empty directory for a new tree; what a killed run left of one goes."""
        scratch = self.directory / _SCRATCH
        if scratch.exists():
            shutil.rmtree(scratch)
        scratch.mkdir(parents=True)
        return scratch

    def finish(self, scratch: Path, name: str, version: str) -> None:
        """Prove that the program runs here and is that version, then give the tree its name. Raises ReleaseError."""
        found = told_version(scratch / program_of(scratch))
        if found != version:
            raise ReleaseError(
                f"the program in this release says that it is {found or 'nothing'}, wanted {version}; nothing was "
                "changed: compare what is pinned (config/artefacts.yaml, or gridtie_artefacts_file) with what its "
                "source has"
            )
        _open_to_readers(scratch)
        self.directory.chmod(0o755)
        os.sync()
        damaged = self.directory / name
        if damaged.exists():
            shutil.rmtree(damaged)
        scratch.replace(self.directory / name)

    def others(self, keep: Iterable[str]) -> list[Path]:
        """Trees that neither run nor are named: those of versions before the last."""
        wanted = {*keep, self.current, INCOMING, _SCRATCH, "current"}
        return sorted(path for path in self.directory.iterdir() if path.name not in wanted and not path.is_symlink())


def unpack(archive: Path, into: Path) -> None:
    """Unpack one archive over a tree. Its content was checked; names that lead elsewhere are refused all the same."""
    report(f"unpacking {archive.name}")
    command = ["tar", "--extract", "--file", str(archive), "--directory", str(into)]
    command += ["--no-same-owner", "--no-same-permissions"]
    follow(command, what=f"unpacking {archive.name}", limit_s=_UNPACK_LIMIT_S)
    if not program_of(into):
        found = ", ".join(sorted(path.name for path in into.iterdir())) or "nothing"
        raise ReleaseError(f"{archive.name} holds {found}; wanted {PROGRAMS[0]}, as upstream's archives have it")


def program_of(tree: Path) -> str:
    """Where the program is in a tree; empty where it is not."""
    return next((name for name in PROGRAMS if (tree / name).is_file()), "")


def take_from_image(docker: list[str], image: str, into: Path) -> None:
    """Copy the parts of a release out of the image that was built from package sources. Raises CommandError."""
    report(f"taking Ollama out of {image}")
    container = follow([*docker, "create", image], what="making a container to copy from", limit_s=60).split()[-1]
    try:
        for source, target in _IN_IMAGE.items():
            (into / target).parent.mkdir(parents=True, exist_ok=True)
            command = [*docker, "cp", f"{container}:{source}", str(into / target)]
            follow(command, what=f"copying {source}", limit_s=_UNPACK_LIMIT_S)
    finally:
        follow([*docker, "rm", "--force", container], what="removing the container", limit_s=60)
    # Docker keeps the image's numbers of users.
    for path in [into, *into.rglob("*")]:
        os.chown(path, 0, 0, follow_symlinks=False)


def _open_to_readers(tree: Path) -> None:
    """Everybody may read it and run what can be run, whatever root's umask was; only its owner may write it."""
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def told_version(program: Path) -> str:
    """The version that an Ollama's client tells; empty where it tells none. Raises ReleaseError where it cannot run."""
    # No server is asked, and none is there: it says so, then its own version.
    environment = {"OLLAMA_HOST": "127.0.0.1:9", "HOME": "/nonexistent"}
    try:
        output = follow([str(program), "--version"], what=program.name, limit_s=_RUN_LIMIT_S, environment=environment)
    except (CommandError, OSError) as error:
        told = getattr(error, "output", "") or str(error)
        raise ReleaseError(
            f"the program in this release does not run on this machine: {told.strip()[-300:]}; nothing was changed"
        ) from error
    return next((line.split()[-1] for line in output.splitlines() if "version is" in line), "")
