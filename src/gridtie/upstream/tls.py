"""TLS towards an upstream: always verified, HTTP/1.1 only."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def context(ca_file: str | None) -> ssl.SSLContext:
    """A client context that trusts `ca_file`, else the system's CAs (SSL_CERT_FILE, SSL_CERT_DIR).

    Cached: loading a CA bundle takes tens of milliseconds. Raises OSError or ssl.SSLError where
    `ca_file` cannot be used.
    """
    made = ssl.create_default_context(cafile=ca_file)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    return made
