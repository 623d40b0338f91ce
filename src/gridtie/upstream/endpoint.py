"""A base URL with its credentials, made ready once: what a request to it starts with."""

from __future__ import annotations

from collections.abc import Iterable

from gridtie.upstream.connection_pool import ConnectionPool, OriginPool
from gridtie.upstream.origin import Proxy, parse

Headers = tuple[tuple[str, str], ...]

# Ours alone: a target's own headers cannot change how the message is framed or read.
_RESERVED = frozenset(
    (
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "accept-encoding",
        "proxy-authorization",
        "proxy-connection",
    )
)


class Endpoint:
    """Builds request heads and knows the connections to send them over."""

    __slots__ = ("_authority", "_fixed", "_heads", "_path", "pool")

    def __init__(
        self,
        pool: ConnectionPool,
        base_url: str,
        headers: Headers = (),
        *,
        ca_file: str | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        """`headers` hold the upstream's credentials. Raises ValueError for a base URL that cannot be used."""
        origin, self._path = parse(base_url, ca_file=ca_file, proxy=proxy)
        self.pool: OriginPool = pool.of(origin)
        self._authority = origin.authority
        self._fixed = headers
        self._heads: dict[tuple[str, str], bytes] = {}

    def head(self, method: str, path: str, headers: Headers, length: int) -> bytes:
        """The head of a request with a JSON body of `length` bytes, blank line and all.

        Only what is known here goes upstream. `headers` are those of a dialect's own that it takes from a client (the
        version that a body is written for); they stand in place of the target's of the same name.
        """
        if headers:
            # Of a client: there may be any number of them.
            return b"%b%d\r\n\r\n" % (self._build(method, path, headers), length)
        start = self._heads.get((method, path))
        if start is None:
            start = self._heads[method, path] = self._build(method, path, headers)
        return b"%b%d\r\n\r\n" % (start, length)

    def _build(self, method: str, path: str, headers: Headers) -> bytes:
        own = {name.lower() for name, _ in headers}
        lines = [
            f"{method} {self._path}{path} HTTP/1.1",
            f"host: {self._authority}",
            *_lines((*(field for field in self._fixed if field[0].lower() not in own), *headers)),
            "content-type: application/json",
            # What is compressed cannot be passed through unread, and would be buffered by the compressor.
            "accept-encoding: identity",
            "content-length: ",
        ]
        return "\r\n".join(lines).encode("latin-1")


def _lines(headers: Iterable[tuple[str, str]]) -> list[str]:
    lines = []
    for name, value in headers:
        if name.lower() in _RESERVED:
            continue
        if any(char in name + value for char in "\r\n\0"):
            raise ValueError(f"header {name!r} of an upstream holds a line break")
        lines.append(f"{name.lower()}: {value}")
    return lines
