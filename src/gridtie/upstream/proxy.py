"""HTTPS_PROXY and NO_PROXY: which upstreams are asked through a proxy.

A value that cannot be read is an error that names the variable and the mistake and shows nothing of the value: a
proxy's URL often holds a password.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import unquote, urlsplit

import msgspec

from gridtie.config.address import read

_HTTPS = 443


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy that tunnels with CONNECT."""

    host: str
    port: int
    # The value of Proxy-Authorization; a secret.
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host!r}, {self.port})"


class ProxySettings:
    """HTTPS_PROXY and NO_PROXY as they stood when the process started.

    Only https goes through a proxy, by CONNECT, so that the proxy sees a host name and nothing else.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Raises ValueError where HTTPS_PROXY is no http:// URL, or an entry of NO_PROXY names nothing."""
        name, url = _given(environ, "HTTPS_PROXY")
        self._proxy = _proxy(name, url) if url else None
        name, excluded = _given(environ, "NO_PROXY")
        entries = [entry.strip().lower() for entry in excluded.split(",")]
        self._excluded = [_entry(name, at, entry) for at, entry in enumerate(entries, 1) if entry]

    def for_url(self, base_url: str) -> Proxy | None:
        """The proxy for a base URL, None for a direct connection."""
        parts = urlsplit(base_url)
        host = (parts.hostname or "").lower().removesuffix(".")
        if self._proxy is None or parts.scheme != "https":
            return None
        port = parts.port or _HTTPS
        return None if any(entry.covers(host, port) for entry in self._excluded) else self._proxy


def _given(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The variable that is set, in capitals or not, and its value; "" where it is not set."""
    spelling = name if environ.get(name) else name.lower()
    return spelling, environ.get(spelling) or ""


# HTTPS_PROXY


def _proxy(name: str, url: str) -> Proxy:
    try:
        return _read_proxy(url)
    except ValueError as error:
        raise ValueError(f"{name} {error}; wanted: http://host:port, with http://user:password@ where needed") from None


def _read_proxy(url: str) -> Proxy:
    """Raises ValueError with a phrase that goes on after the variable's name."""
    if any(char.isspace() for char in url):
        raise ValueError("holds a space or a line break")
    if url[0] in "\"'" or url[-1] in "\"'":
        raise ValueError("stands in quotes, which are taken as a part of it")
    scheme, separator, rest = url.partition("://")
    if separator and scheme.lower() != "http":
        raise ValueError("begins with another scheme than http:// (the proxy itself is asked in plain HTTP)")
    login, at, where = (rest if separator else url).rpartition("@")
    # Told by the shape of what stands before the @, in which no delimiter of a URL may stand bare.
    if at and any(char in login for char in "/?#@[]"):
        raise ValueError("has a bare / ? # @ [ or ] in user or password; write it as %2F, %3F, %23, %40, %5B or %5D")
    if not at and any(char in where.rstrip("/") for char in "/?#"):
        raise ValueError("goes on after host and port, or has a bare / ? or # in a password (write %2F, %3F, %23)")
    try:
        address = read(f"http://{where}")
    except ValueError as error:
        raise ValueError(_host_fault(where, str(error))) from None
    if address.path:
        raise ValueError("goes on after host and port")
    return Proxy(address.host, address.port, _authorization(login) if at else "")


def _host_fault(where: str, fault: str) -> str:
    if where.count(":") > 1 and not where.startswith("["):
        return "holds an IPv6 address without brackets"
    return fault


def _authorization(login: str) -> str:
    user, _, password = login.partition(":")
    if re.search(r"%(?![0-9a-fA-F]{2})", login):
        raise ValueError("has a bare % in user or password; write it as %25")
    user, password = unquote(user), unquote(password)
    if ":" in user:
        raise ValueError("has a colon in the user's name, which HTTP cannot tell from the one before the password")
    if not (user + password).isprintable():
        raise ValueError("has control characters in user or password")
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


# NO_PROXY


class _Entry(msgspec.Struct, frozen=True):
    """One entry: everything, a network, or a name with what is below it; `port` None: any."""

    name: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None

    def covers(self, host: str, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            try:
                return ip_address(host) in self.network
            except ValueError:
                return False
        return self.name == "*" or host == self.name or host.endswith(f".{self.name}")


def _entry(variable: str, at: int, text: str) -> _Entry:
    try:
        return _read_entry(text)
    except ValueError as error:
        wanted = "host, .domain, address, network (10.0.0.0/8), host:port or *, with commas between"
        raise ValueError(f"{variable}: entry {at} {error}; wanted: {wanted}") from None


def _read_entry(text: str) -> _Entry:
    """Raises ValueError with a phrase that goes on after "entry 2"."""
    if text == "*":
        return _Entry("*")
    if any(char.isspace() for char in text) or ";" in text:
        raise ValueError("holds a space or a semicolon")
    if not text.isascii() or not text.isprintable():
        raise ValueError("holds letters beyond ASCII (a host is written as xn--...)")
    if "://" in text or "@" in text:
        raise ValueError("is a URL")
    if network := _network(text):
        return _Entry(network=network)
    name, port = _split(text)
    if network := _network(name):
        return _Entry(network=network, port=port)
    name = name.removeprefix("*").strip(".")
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", name) or ".." in name:
        raise ValueError("names no host")
    return _Entry(name, port=port)


def _split(text: str) -> tuple[str, int | None]:
    """Name or address, and port. Raises ValueError."""
    if text.startswith("["):
        inside, bracket, after = text[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise ValueError("has brackets that are not whole")
        text, colon, port = inside, after[:1], after[1:]
        if _network(text) is None:
            raise ValueError("has no IPv6 address in its brackets")
    else:
        text, colon, port = text.partition(":")
    if not colon:
        return text, None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ValueError("has a port that is not a number from 1 to 65535")
    return text, int(port)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    """An address or a network, also as 169.254/16 and 192.168.*; None for a name. Raises ValueError."""
    short = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,3}){0,3})(/[0-9]+|\.\*)", text)
    if short:
        parts = short[1].split(".")
        length = f"/{8 * len(parts)}" if short[2] == ".*" else short[2]
        text = ".".join((parts + ["0"] * 4)[:4]) + length
    try:
        return ip_network(text, strict=False)
    except ValueError:
        if "/" in text or re.fullmatch(r"[0-9.]+", text):
            raise ValueError("names no address and no network") from None
        return None
