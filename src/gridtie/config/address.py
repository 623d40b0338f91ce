"""An address of an upstream, read strictly: what a URL parser lets pass would fail at the first request.

Faults never hold a part of the address: where a password stands in it, no parser knows for sure where.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\.?")
_PORTS = {"http": 80, "https": 443}


class Address(msgspec.Struct, frozen=True):
    """Scheme and host in lower case, an IPv6 address without brackets, the path without slashes at its end."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def base(self) -> str:
        """Scheme, host and port as a URL begins with them; the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def read(text: str) -> Address:
    """Raises ValueError with a phrase that goes on after "base_url ..." and shows nothing of the text."""
    if fault := _unfit(text):
        raise ValueError(fault)
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("is no address: the brackets of an IPv6 address are not whole") from None
    host = parts.hostname or ""
    try:
        port = parts.port
    except ValueError:
        raise ValueError("is no address: its port is not a number from 1 to 65535") from None
    if not host:
        raise ValueError("names no host")
    if port == 0:
        raise ValueError("is no address: its port is not a number from 1 to 65535")
    if fault := _no_host(host):
        raise ValueError(fault)
    return Address(parts.scheme, host, port or _PORTS[parts.scheme], parts.path.rstrip("/"))


def is_loopback(host: str) -> bool:
    """Whether an address's host is this machine, by its spelling alone."""
    if host.removesuffix(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _unfit(text: str) -> str:
    """What can be seen before it is taken apart."""
    if not text.strip():
        return "is empty"
    if any(char in text for char in "<>{}$"):
        return "holds a placeholder (<...>, {...} or $NAME) that nothing fills in"
    if any(char.isspace() or not char.isprintable() for char in text):
        return "holds a space or a control character"
    if not text.isascii():
        return "holds letters beyond ASCII; a host is written as xn--..., a path with % codes"
    if any(char in text for char in "\"'`\\^|"):
        return "holds a quote, a backslash or another character that no address has"
    if not re.match(r"https?://", text, re.IGNORECASE):
        return "does not begin with https:// or http://"
    if "@" in text:
        return "carries a credential (it has an @); keys belong into a key file, which key_file names"
    if "?" in text or "#" in text:
        return "carries a query or fragment"
    return ""


def _no_host(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        if not _NAME.fullmatch(host):
            return "names a host that cannot be one"
        # Resolvers read 127.1 and 2130706433 as addresses too, and each in its own way.
        if host.replace(".", "").isdigit():
            return "is no address: four numbers from 0 to 255 are wanted"
        return ""
    if address.is_unspecified:
        return "names where a server listens, not where one is; write its name, or 127.0.0.1 for this machine"
    return ""
