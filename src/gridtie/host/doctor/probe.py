"""The doctor's hands: everything that a check may touch goes through `Probe`, so that a test can be any machine."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Protocol, Sequence

from gridtie.host import router
from gridtie.host.command import Ran, run_command
from gridtie.host.gpu import Survey, read_survey

_HANDSHAKE_SECONDS = 5.0
# X509_V_FLAG_PARTIAL_CHAIN of OpenSSL; the ssl module has had a name for it since Python 3.10.
_PARTIAL_CHAIN = 0x80000


@dataclass(frozen=True)
class Owned:
    """Permission bits and owner of a file."""

    mode: int
    uid: int
    size: int


class Probe(Protocol):
    """What a check can do to a machine: look."""

    # Whether it is a Mac: there other tools tell, and a station belongs to a person.
    mac: bool

    def run(self, argv: Sequence[str], timeout: float = 10.0) -> Ran: ...

    def http(
        self,
        method: str,
        url: str,
        *,
        body: Optional[Any] = None,
        headers: Optional[Mapping[str, str]] = None,
        timeout: float = 10.0,
    ) -> router.Answer:
        """Any status is an answer. Raises `router.Unreachable`."""
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

    def resolved(self, path: Path) -> Path:
        """Where a link leads in the end. Raises OSError."""
        ...

    def sha256(self, path: Path) -> str:
        """Hex digest of a file. Raises OSError."""
        ...

    def free_bytes(self, directory: Path) -> int:
        """Raises OSError."""
        ...

    def survey(self) -> Survey: ...

    def certificate_ends(self, address: str, port: int, name: str, trusted: Path) -> float:
        """When the certificate that is shown there ends (Unix time), if it is the one in `trusted` and for `name`.

        Raises OSError, of which ssl.SSLError is one.
        """
        ...

    def now(self) -> float:
        """Unix time."""
        ...


class HostProbe:
    """This machine."""

    mac = sys.platform == "darwin"

    def run(self, argv: Sequence[str], timeout: float = 10.0) -> Ran:
        return run_command(argv, timeout)

    def http(
        self,
        method: str,
        url: str,
        *,
        body: Optional[Any] = None,
        headers: Optional[Mapping[str, str]] = None,
        timeout: float = 10.0,
    ) -> router.Answer:
        return router.send(method, url, body=body, headers=headers, timeout=timeout)

    def read(self, path: Path) -> str:
        return path.read_text()

    def owned(self, path: Path) -> Owned:
        found = path.stat()
        return Owned(found.st_mode & 0o7777, found.st_uid, found.st_size)

    def names(self, directory: Path) -> list[str]:
        return sorted(path.name for path in directory.iterdir())

    def resolved(self, path: Path) -> Path:
        return path.resolve(strict=True)

    def sha256(self, path: Path) -> str:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
        return digest.hexdigest()

    def free_bytes(self, directory: Path) -> int:
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize

    def certificate_ends(self, address: str, port: int, name: str, trusted: Path) -> float:
        context = ssl.create_default_context(cafile=str(trusted))
        # The very certificate on disk, whoever signed it: that others trust its authority is their check.
        context.verify_flags |= ssl.VerifyFlags(_PARTIAL_CHAIN)
        with (
            socket.create_connection((address, port), timeout=_HANDSHAKE_SECONDS) as raw,
            context.wrap_socket(raw, server_hostname=name) as wrapped,
        ):
            found = wrapped.getpeercert() or {}
        return float(ssl.cert_time_to_seconds(str(found["notAfter"])))

    def now(self) -> float:
        return time.time()

    def survey(self) -> Survey:
        return read_survey(Path("/"), platform.machine())
