"""TLS towards an upstream: always verified, HTTP/1.1 only."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

# Which state of a file was read: a renewed certificate takes effect with the next connection.
_Stamp = tuple[int, int, int]


def context(ca_file: str | None) -> ssl.SSLContext:
    """A client context that trusts `ca_file`, else the system's CAs (SSL_CERT_FILE, SSL_CERT_DIR).

    Cached, for loading a CA bundle takes tens of milliseconds, until the file changes. Raises OSError or
    ssl.SSLError where `ca_file` cannot be used.
    """
    return _context(ca_file, _stamp(ca_file or ssl.get_default_verify_paths().cafile))


def _stamp(file: str | None) -> _Stamp | None:
    if file is None:
        return None
    found = Path(file).stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=64)
def _context(ca_file: str | None, stamp: _Stamp | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca_file)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    return made
