"""Which web pages may ask, and what their browsers must be told for it (CORS, as the Fetch standard has it).

A page of our own may always. Applications that are web pages inside, such as editors, send an origin of their own;
those of `defaults.allowed_origins` may, and those that stand with a key. Everybody else's page is refused, whatever key
it has got hold of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gridtie.config.names import canonical
from gridtie.gateway.exchange import Head
from gridtie.gateway.hosts import Hosts

# Seconds a browser may remember the answer to its question; Chrome's own bound is 7200.
_MAX_AGE = 600

# Names of headers, as a browser lists them that asks whether it may send them.
_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_MOST_HEADER_BYTES = 2048


class Origins:
    """Ours, and those that are declared."""

    def __init__(self, hosts: Hosts, declared: Iterable[str]) -> None:
        self._hosts = hosts
        self._declared = frozenset(canonical(origin).rstrip("/") for origin in declared)

    def admit(self, head: Head, origin: bytes) -> bool:
        """Whether a page of this origin may ask; then `head.cors` lets it read the answer."""
        if not (self._hosts.allows_origin(origin) or self._is_declared(origin) or self._is_asked(head, origin)):
            return False
        head.cors = b"access-control-allow-origin: %b\r\naccess-control-expose-headers: *\r\nvary: origin\r\n" % origin
        return True

    def _is_asked(self, head: Head, origin: bytes) -> bool:
        """Whether it is the very host that the request is for, at a port that the router need not know of: where its
        container is published. A page of another server on the machine has a port of its own in its Origin.
        """
        scheme, _, host = origin.partition(b"://")
        ours = scheme.lower() in (b"http", b"https") and host.lower() == head.host.lower()
        return ours and self._hosts.allows(head.host)

    def _is_declared(self, origin: bytes) -> bool:
        # `null` is what any page can be made to send.
        name = canonical(origin.decode("latin-1")).rstrip("/")
        return name in self._declared and name != "null"

    def refusal(self, origin: bytes) -> str:
        """What is said to others."""
        return (
            f"Origin {origin.decode('latin-1')[:200]!r} is no page of this router, and foreign pages are "
            "not answered; an application that may ask is let in by `gridtie connect CLIENT --origin`, or named in "
            "defaults.allowed_origins"
        )

    def preflight(self, head: Head, allowed: str) -> bytes:
        """Header lines that answer a browser's question about a request of its page; none where nobody asks."""
        headers = head.headers
        if not head.cors or b"access-control-request-method" not in headers:
            return b""
        asked = headers.get(b"access-control-request-headers", b"").strip()
        lines = b"access-control-allow-methods: %b\r\naccess-control-max-age: %d\r\n" % (allowed.encode(), _MAX_AGE)
        if asked and len(asked) <= _MOST_HEADER_BYTES and _HEADER_NAMES.fullmatch(asked):
            # What a client library sends beside its key is its own business.
            lines += b"access-control-allow-headers: %b\r\n" % asked
        if headers.get(b"access-control-request-private-network", b"").lower() == b"true":
            lines += b"access-control-allow-private-network: true\r\n"
        return lines
