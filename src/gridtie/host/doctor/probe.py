"""The doctor's hands: everything that a check may touch goes through `Probe`, so that a test can be any machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Protocol, Sequence

from gridtie.host import ask
from gridtie.host.gpu import Graphics
from gridtie.host.hardware import read_graphics


@dataclass(frozen=True)
class Ran:
    """A finished command. `status` 127: there is no such command; 124: it took too long."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Owned:
    """Permission bits and owner of a file."""

    mode: int
    uid: int
    size: int


class Probe(Protocol):
    """What a check can do to a machine: look."""

    def run(self, argv: Sequence[str], timeout: float = 10.0) -> Ran: ...

    def http(
        self,
        method: str,
        url: str,
        *,
        body: Optional[Any] = None,
        headers: Optional[Mapping[str, str]] = None,
        timeout: float = 10.0,
    ) -> ask.Answer:
        """Any status is an answer. Raises `ask.Unreachable`."""
        ...

    def read(self, path: Path) -> str:
        """Raises OSError."""
        ...

    def owned(self, path: Path) -> Owned:
        """Raises OSError."""
        ...

    def names(self, directory: Path) -> list[str]:
        """Raises OSError."""
        ...

    def sha256(self, path: Path) -> str:
        """Hex digest of a file. Raises OSError."""
        ...

    def free_bytes(self, directory: Path) -> int:
        """Raises OSError."""
        ...

    def graphics(self) -> tuple[Graphics, ...]: ...


class HostProbe:
    """This machine."""

    def run(self, argv: Sequence[str], timeout: float = 10.0) -> Ran:
        # Messages are matched in English, whatever the caller's language.
        environ = {**os.environ, "LC_ALL": "C.UTF-8"}
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, env=environ, check=False)
        except FileNotFoundError:
            return Ran(127, "", f"there is no {argv[0]} command here")
        except subprocess.TimeoutExpired:
            return Ran(124, "", f"{argv[0]} gave no answer within {timeout:g} s")
        return Ran(done.returncode, done.stdout, done.stderr)

    def http(
        self,
        method: str,
        url: str,
        *,
        body: Optional[Any] = None,
        headers: Optional[Mapping[str, str]] = None,
        timeout: float = 10.0,
    ) -> ask.Answer:
        return ask.send(method, url, body=body, headers=headers, timeout=timeout)

    def read(self, path: Path) -> str:
        return path.read_text()

    def owned(self, path: Path) -> Owned:
        found = path.stat()
        return Owned(found.st_mode & 0o7777, found.st_uid, found.st_size)

    def names(self, directory: Path) -> list[str]:
        return sorted(path.name for path in directory.iterdir())

    def sha256(self, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()

    def free_bytes(self, directory: Path) -> int:
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize

    def graphics(self) -> tuple[Graphics, ...]:
        return read_graphics(Path("/"))
