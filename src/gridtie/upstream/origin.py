"""Where an upstream is: what two requests must share to share a connection."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import msgspec


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy that tunnels with CONNECT."""

    host: str
    port: int
    # The value of Proxy-Authorization; a secret.
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host!r}, {self.port})"


class Origin(msgspec.Struct, frozen=True):
    """Scheme, host and port of an upstream, and how it is reached and trusted."""

    scheme: str
    host: str
    port: int
    ca_file: str | None = None
    proxy: Proxy | None = None

    @property
    def authority(self) -> str:
        """What the Host header says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


_PORTS = {"http": 80, "https": 443}


def parse(base_url: str, *, ca_file: str | None = None, proxy: Proxy | None = None) -> tuple[Origin, str]:
    """The origin of a base URL, and the path that requests to it start with.

    Raises ValueError for anything but an http(s) URL with a host and without credentials.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"base URL {base_url!r} found, http(s)://host[:port][/path] wanted")
    if parts.username is not None:
        raise ValueError(f"base URL of {parts.hostname} carries credentials; put the key into a key file")
    port = parts.port or _PORTS[parts.scheme]
    return Origin(parts.scheme, parts.hostname, port, ca_file, proxy), parts.path.rstrip("/")


class ProxySettings:
    """HTTPS_PROXY and NO_PROXY as they stood when the process started.

    Only https goes through a proxy, by CONNECT, so that the proxy sees a host name and nothing else.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises ValueError where HTTPS_PROXY is no http:// URL."""
        url = environ.get("HTTPS_PROXY") or environ.get("https_proxy") or ""
        self._proxy = _proxy(url) if url else None
        excluded = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
        self._excluded = [entry.strip().lower() for entry in excluded.split(",") if entry.strip()]

    def for_url(self, base_url: str) -> Proxy | None:
        """The proxy for a base URL, None for a direct connection."""
        parts = urlsplit(base_url)
        host = (parts.hostname or "").lower()
        if self._proxy is None or parts.scheme != "https":
            return None
        port = parts.port or _PORTS["https"]
        return None if any(_excludes(entry, host, port) for entry in self._excluded) else self._proxy


def _proxy(url: str) -> Proxy:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        # Never the URL itself: it may hold a password.
        raise ValueError(f"HTTPS_PROXY names {parts.scheme}://{parts.hostname or ''}; http://host:port wanted")
    authorization = ""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(credentials.encode()).decode()}"
    return Proxy(parts.hostname, parts.port or 80, authorization)


def _excludes(entry: str, host: str, port: int) -> bool:
    """Whether one entry of NO_PROXY covers a host: `*`, a name, a domain, an address, a network, name:port."""
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit() and ":" not in name:
        if int(wanted) != port:
            return False
        entry = name
    entry = entry.strip("[]").lstrip(".").removeprefix("*.")
    return host == entry or host.endswith(f".{entry}")
