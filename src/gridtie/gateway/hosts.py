"""Which names this router answers to: what keeps web pages that a browser was tricked into from talking to it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

# What a browser cannot be made to reach by rebinding a name.
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# Stands for every port: of a container that is published somewhere, the router does not know where.
ANY_PORT = ":*"


class Hosts:
    """The allow-list of Host headers, worked out once."""

    def __init__(self, names: Iterable[str], ports: Iterable[int], exact: Iterable[str] = ()) -> None:
        """`names` come with their own port or are reached at one of `ports`; `exact` are whole Host headers, or end in
        `:*` for every port.
        """
        allowed = {name.lower() for name in exact}
        self._at_any_port = frozenset(
            name.removesuffix(ANY_PORT).encode("latin-1", "replace") for name in allowed if name.endswith(ANY_PORT)
        )
        for name in (*LOOPBACK, *(name.lower() for name in names)):
            if _has_port(name):
                allowed.add(name)
                continue
            allowed.update(f"{name}:{port}" for port in ports)
            if 80 in ports:
                allowed.add(name)
        self._allowed = frozenset(name.encode("latin-1", "replace") for name in allowed)

    def allows(self, host: bytes) -> bool:
        """Whether a Host header's value is one of ours."""
        return self._names(host) or self._is_at_any_port(host.lower())

    def allows_origin(self, origin: bytes) -> bool:
        """Whether a page that sends this Origin was served by us. `null` is nobody's.

        A name at any port does not count: other servers of the same machine have pages as well.
        """
        scheme, separator, host = origin.partition(b"://")
        return bool(separator) and scheme.lower() in (b"http", b"https") and self._names(host)

    def _names(self, host: bytes) -> bool:
        return host in self._allowed or host.lower() in self._allowed

    def _is_at_any_port(self, host: bytes) -> bool:
        name, colon, port = host.rpartition(b":")
        if colon and port.isdigit():
            return name in self._at_any_port
        return host in self._at_any_port

    def __str__(self) -> str:
        return ", ".join(sorted(name.decode("latin-1") for name in self._allowed))


def _has_port(name: str) -> bool:
    return name.rpartition(":")[2].isdigit() and not name.endswith("]")


def ports(*endpoints: str) -> set[int]:
    """The ports of URLs, such as the station's own endpoint."""
    found = set()
    for endpoint in endpoints:
        parts = urlsplit(endpoint)
        found.add(parts.port or (443 if parts.scheme == "https" else 80))
    return found
