"""Which paths there are, and who answers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from gridtie.gateway.exchange import Exchange, Head

Handler = Callable[[Exchange], None]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One path. One that ends in a slash stands for everything below it; the rest is `Head.rest`."""

    path: str
    get: Handler | None = None
    post: Handler | None = None
    delete: Handler | None = None
    # Without a key it says nothing about anybody's requests.
    public: bool = False
    # Another station's router may ask here.
    relay: bool = False

    def handler(self, method: bytes) -> Handler | None:
        """Who answers a method; HEAD is GET without the body."""
        if method == b"POST":
            return self.post
        if method == b"DELETE":
            return self.delete
        return self.get if method in (b"GET", b"HEAD") else None

    @property
    def allow(self) -> str:
        """The Allow header's value."""
        return ", ".join(
            (
                *(("GET", "HEAD") if self.get else ()),
                *(("POST",) if self.post else ()),
                *(("DELETE",) if self.delete else ()),
            )
        )


class Routes:
    """All of them."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Route] = {}
        self._below: list[Route] = []
        for route in routes:
            if route.path.endswith("/") and route.path != "/":
                self._below.append(route)
            else:
                self._exact[route.path] = route

    def find(self, head: Head) -> Route | None:
        """The route of a request's path, None where there is none."""
        # A slash at the end is a habit of people who join URLs, and means the same.
        found = self._exact.get(head.path) or self._exact.get(head.path.removesuffix("/"))
        if found is not None:
            return found
        for route in self._below:
            if head.path.startswith(route.path) and len(head.path) > len(route.path):
                head.rest = head.path[len(route.path) :]
                return route
        return None

    def paths(self) -> list[str]:
        """Every path, sorted, for a message."""
        return sorted([*self._exact, *(route.path + "{id}" for route in self._below)])
