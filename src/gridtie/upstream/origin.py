"""Where an upstream is: what two requests must share to share a connection."""

from __future__ import annotations

import msgspec

from gridtie.config.address import read
from gridtie.upstream.proxy import Proxy, ProxySettings

__all__ = ["Origin", "Proxy", "ProxySettings", "parse"]


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

    Raises ValueError, without any part of the URL, for anything but an http(s) URL with a host and without credentials.
    """
    try:
        address = read(base_url)
    except ValueError as error:
        raise ValueError(f"the base URL {error}; wanted: http(s)://host[:port][/path]") from None
    return Origin(address.scheme, address.host, address.port, ca_file, proxy), address.path
