"""The certificate that clients beyond this machine are shown; a renewed one takes effect with the next connection."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from gridtie.config.problems import ConfigError, Problem

log = logging.getLogger("gridtie.tls")

# Below the configuration directory. One file holds the private key, the certificate and the rest of its chain, so that
# a rename replaces all of them as one.
DIRECTORY = "tls"
FILE = "server.pem"

# Seconds for a handshake. A client that connects and says nothing is no request yet, so `limits` does not see it.
HANDSHAKE_SECONDS = 10.0
# Seconds for TLS's own farewell; a client that has gone gives none.
SHUTDOWN_SECONDS = 2.0

_FIX = "run `ansible-playbook site.yml` again: it writes this file; or put key and certificate of your own into it"

_Stamp = tuple[int, int, int]


class Certificate:
    """Holds the context that connections are made with."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigError` where the file cannot be used: at start that is fatal."""
        self._path = path
        self._error = ""
        try:
            self._stamp = _stamp(path)
            self.context = _context(path)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError([Problem(file=str(path), what=_reason(error), fix=_FIX)]) from error

    def refresh(self) -> None:
        """Take up a file that has changed; one that cannot be used leaves what there was in force. Never raises.

        Connections that are open keep the certificate that they began with, so no request is dropped.
        """
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            # In a context of its own first: loading half of it into the one in use would break what works.
            _context(self._path)
            self.context.load_cert_chain(self._path)
        except OSError as error:
            self._complain(_reason(error))
        else:
            self._stamp, self._error = stamp, ""
            log.info("certificate loaded from %s", self._path)

    def _complain(self, reason: str) -> None:
        """Once for each reason: the file is looked at again with every change of the configuration."""
        if reason != self._error:
            log.error("%s: %s; the certificate before it stays in force", self._path, reason)
        self._error = reason


def _context(path: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # 1.3 is taken where the client can. Nothing that still gets updates is limited to less than 1.2.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(path)
    return context


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"it does not hold a private key and the certificate for it in PEM ({error.reason or error})"
    return f"it cannot be read: {error.strerror}"
