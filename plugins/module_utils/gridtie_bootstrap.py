"""The base image from a package mirror: a place to work in, and the work."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, Sequence

from .gridtie_command import CommandError, follow
from .gridtie_machine import read_text
from .gridtie_progress import report

# Root's own directory, unlike /tmp: nobody else can put something in the way. On a Mac, the person's.
WORKPLACE = Path.home() / "Library/Caches/gridtie" if sys.platform == "darwin" else Path("/var/cache/gridtie")

# A bootstrap takes half a minute, compiling Ollama one to five; slow mirrors and processors stretch that.
LIMIT_S = 3600


@contextlib.contextmanager
def alone(name: str, workplace: Path = WORKPLACE) -> Iterator[list[int]]:
    """Makes one image at a time. The lock is a descriptor that the programs which do the work inherit.

    So it outlives a run that was killed for as long as those programs go on: the next run waits for them, and finds
    their image or a place that nobody writes to.
    """
    workplace.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(workplace / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LIMIT_S
    try:
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise CommandError(f"another run has been making the image {name} for more than {LIMIT_S} s")
            report(f"waiting for another run that makes the image {name}")
            time.sleep(1)
        yield [descriptor]
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def root_filesystem(
    script: str, suite: str, architecture: str, sources: str, keep_open: Sequence[int], network: Dict[str, str]
) -> Iterator[Path]:
    """A tar of the root filesystem that the bootstrap script makes; gone afterwards.

    ``sources`` are apt's lines, ``network`` the variables with the proxies to reach them by.
    """
    if not shutil.which("mmdebstrap"):
        raise CommandError("mmdebstrap is not installed; it makes the base image where no container registry answers")
    directory = WORKPLACE / "bootstrap"
    clear(directory)
    # mmdebstrap unpacks below, and fetches as apt's own user, who must get there but not read the sources.
    directory.mkdir(mode=0o711)
    try:
        (directory / "bootstrap.sh").write_text(script, encoding="utf-8")
        listing = os.open(directory / "sources.list", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(listing, "w", encoding="utf-8") as file:
            file.write(sources)
        report(f"bootstrapping the base image ({suite}, from the package mirror)")
        follow(
            ["sh", "-c", 'exec sh bootstrap.sh "$@" >root.tar', "sh", suite, architecture, "sources.list"],
            what="bootstrapping the base image",
            limit_s=LIMIT_S,
            environment={**network, "TMPDIR": str(directory)},
            directory=directory,
            keep_open=keep_open,
        )
        yield directory / "root.tar"
    finally:
        clear(directory)


def clear(directory: Path) -> None:
    """Remove what a bootstrap left. Raises CommandError where a file system is mounted in it: that would go, too."""
    mounted = [line.split()[1] for line in read_text("/proc/self/mounts").splitlines() if f" {directory}/" in line]
    if mounted:
        raise CommandError(f"unmount {', '.join(mounted)} first: an interrupted bootstrap left it mounted")
    if directory.is_dir():
        shutil.rmtree(directory)
