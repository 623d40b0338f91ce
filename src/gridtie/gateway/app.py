"""Serves client connections: judges each request's head, and hands the whole request to whoever answers its path."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from email.utils import formatdate
from time import time

from msgspec.structs import replace

from gridtie.config.schema import Limits
from gridtie.gateway import limits
from gridtie.gateway.allowance import Allowance, Windows
from gridtie.gateway.claims import misplaced, unknown_header
from gridtie.gateway.client_connection import ClientConnection
from gridtie.gateway.error_format import format_for
from gridtie.gateway.errors import Fault
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.hosts import Hosts, ports
from gridtie.gateway.keys import Bounded, presented
from gridtie.gateway.origins import Origins
from gridtie.gateway.path_key import take_key, without_key
from gridtie.gateway.response import JSON, retry_fields
from gridtie.gateway.routes import Route, Routes
from gridtie.gateway.settings import Loaded
from gridtie.gateway.telemetry import Telemetry
from gridtie.routing.bounds import longest
from gridtie.routing.held_bytes import HeldBytes
from gridtie.routing.refusals import RETRY_SOON
from gridtie.upstream.sweeper import Sweeper

_DRAINING = "this station takes no requests of other routers now: its engine is about to be switched; ask another one"
_BEARER_WANTED = b"www-authenticate: Bearer\r\n"
# Paths that clients know and this router does not have, by how they begin.
_UNSERVED = {
    **dict.fromkeys(("/v1/audio", "/audio"), "audio"),
    **dict.fromkeys(("/v1/batches", "/v1/files", "/v1/messages/batches"), "batches"),
    **dict.fromkeys(("/v1/rerank", "/v2/rerank", "/rerank"), "ranking"),
    "/v1/images": "pictures",
}

# What `OPTIONS *` asks about: the router as a whole.
_EVERYTHING = Route(path="*", public=True)
_METHODS = "GET, HEAD, POST, OPTIONS"


class App:
    """The `Service` of every client connection."""

    limits: Limits
    patience: float

    def __init__(
        self, routes: Iterable[Route], telemetry: Telemetry, sweeper: Sweeper, held: HeldBytes, port: int
    ) -> None:
        """`port` is the one that is listened on."""
        self.draining = False
        self.held = held
        self.date_line = b""
        self._routes = Routes(routes)
        self._telemetry = telemetry
        self._sweeper = sweeper
        self._port = port
        self.connections: set[ClientConnection] = set()
        # Set once the last client has gone after `drain`.
        self.empty = asyncio.Event()
        # Unique across restarts without asking anybody: random for the process, counted within it.
        self._prefix = os.urandom(6).hex()
        self._count = 0
        self._second = 0.0
        # Seconds that any request may take by the configuration in force.
        self._total = 0.0
        # By the names of keys with limits: what they took of late, and the configuration as it is for them.
        self._windows: dict[str, Windows] = {}
        self._of_keys: dict[tuple[str, float | None], Loaded] = {}
        self.loaded: Loaded

    def reload(self, loaded: Loaded) -> None:
        """Judge by another configuration from here on."""
        self.loaded = loaded
        routing = loaded.routing
        self.limits = routing.limits
        self.held.limit = routing.limits.held_bytes
        # A request whose body is on its way was admitted by the configuration before this, and goes by that.
        total, before = longest(routing), self._total
        self.patience = max(total, before) + limits.GRACE_SECONDS
        self._total = total
        self._keys = loaded.keys
        names = {each.name for each in loaded.keys.limited()}
        self._windows = {name: self._windows.get(name) or Windows() for name in names}
        self._of_keys = {}
        station = loaded.station
        own = [station.endpoint] if station is not None else []
        declared = station.hosts if station is not None else ()
        self._hosts = Hosts(routing.defaults.allowed_hosts, {self._port, *ports(*own)}, declared)
        self._origins = Origins(self._hosts, (*routing.defaults.allowed_origins, *loaded.keys.origins))

    def request_id(self) -> str:
        """A new id."""
        self._count += 1
        return f"{self._prefix}-{self._count:06x}"

    def opened(self, connection: ClientConnection) -> bool:
        """A client has connected; False where there are too many."""
        self.connections.add(connection)
        self._sweeper.add(connection)
        return len(self.connections) <= self.limits.max_connections and not self.draining

    def closed(self, connection: ClientConnection) -> None:
        """A client's connection has ended."""
        self.connections.discard(connection)
        self._sweeper.discard(connection)
        if self.draining and not self.connections:
            self.empty.set()

    def admit(self, exchange: Exchange) -> bool:
        """Judge a request by its head: Host, Origin, path, method, key. False where it has been answered."""
        head = exchange.head
        headers = head.headers
        if not self._hosts.allows(head.host):
            message = f"Host {head.host.decode('latin-1')[:200]!r} is not this router; it answers to {self._hosts}"
            return self._no(exchange, 421, "host_not_allowed", f"{message} (defaults.allowed_hosts)")
        origin = headers.get(b"origin")
        if origin is not None and not self._origins.admit(head, origin):
            return self._no(exchange, 403, "origin_not_allowed", self._origins.refusal(origin))
        route = _EVERYTHING if head.path == "*" else self._routes.find(head)
        if route is None and take_key(head):
            route = self._routes.find(head)
        if route is None:
            return self._no(exchange, 404, "not_found", self._nothing_at(head.path))
        if head.method == b"OPTIONS":
            head.route, head.loaded = route, self.loaded
            return True
        if route.handler(head.method) is None:
            method = head.method.decode("latin-1")[:20]
            message = f"{method} is not for {route.path}; allowed: {route.allow}"
            return self._no(exchange, 405, "method_not_allowed", message, b"allow: %b\r\n" % route.allow.encode())
        head.loaded = self.loaded
        if not self._identify(exchange, route):
            return False
        head.route = route
        return True

    def _identify(self, exchange: Exchange, route: Route) -> bool:
        """Find out whose request it is. False where it has been answered."""
        head = exchange.head
        sent = presented(head.headers)
        head.key = key = self._keys.lookup(sent) if sent else None
        if route.public:
            if key is None and sent and (bounded := self._keys.bounded(sent)) and not bounded.over(time()):
                head.key, head.loaded = bounded.key, self._of_key(bounded)
            return True
        if key is None:
            bounded = self._keys.bounded(sent) if sent else None
            if bounded is None:
                found = "this key is not known" if sent else _no_key(head.headers)
                message = f"{found}; send a key of this router as `Authorization: Bearer` or x-api-key"
                return self._no(exchange, 401, "invalid_key", message, _BEARER_WANTED)
            if over := bounded.over(time()):
                return self._no(exchange, 401, "key_expired", over, _BEARER_WANTED)
            head.key = key = bounded.key
            head.loaded = self._of_key(bounded)
        if key.relay:
            # Its headers are not looked at: routers of one pool may be of different versions.
            if route.relay:
                return not self._draining() or self._no(exchange, 503, "draining", _DRAINING)
            message = f'"{key.name}" is the key of another router, which has no business at {route.path}'
            return self._no(exchange, 403, "relay_not_allowed", message)
        unknown = unknown_header(head.headers) or (misplaced(head.query) if head.query else "")
        return not unknown or self._no(exchange, 400, "unknown_header", unknown)

    def _draining(self) -> bool:
        """Whether other stations are to ask elsewhere."""
        station = self.loaded.station
        return station is not None and station.draining

    def _of_key(self, bounded: Bounded) -> Loaded:
        """The configuration as it is for a key with an end or limits.

        It is not what heads are compared with, so that such a key is looked at with each request.
        """
        loaded = self.loaded
        # By its end as well: a key that was rotated and the one before it have the same name.
        name, ends = bounded.key.name, bounded.ends
        found = self._of_keys.get((name, ends))
        if found is None:
            policy = bounded.policy(loaded.policy)
            allowance = Allowance(bounded, self._windows[name], loaded.share)
            found = replace(loaded, policy=policy, targets=policy.targets, allowance=allowance)
            self._of_keys[name, ends] = found
        return found

    def _nothing_at(self, path: str) -> str:
        said = f"there is nothing at {without_key(path)[:200]!r}"
        if "//" in path:
            return f"{said}, which has two slashes in a row: the client's base URL ends in a slash, write it without"
        if (family := next((each for each in _UNSERVED if path.startswith(each)), None)) is not None:
            return f"{said}: this router serves no {_UNSERVED[family]}; ask a provider of it directly"
        return f"{said}; there is {', '.join(self._routes.paths())}"

    def handle(self, exchange: Exchange) -> None:
        """Answer a whole request that was admitted."""
        head = exchange.head
        handler = head.route.handler(head.method) if head.route is not None else None
        if handler is not None:
            handler(exchange)
        else:
            self._tell_options(exchange)

    def _tell_options(self, exchange: Exchange) -> None:
        """What may be asked at a path, and from which pages: also what a browser asks before it asks."""
        head = exchange.head
        allowed = _METHODS if head.route is None or head.route is _EVERYTHING else f"{head.route.allow}, OPTIONS"
        exchange.no_content(b"allow: %b\r\n" % allowed.encode() + self._origins.preflight(head, allowed))

    def refuse(self, exchange: Exchange, status: int, code: str, message: str, fields: bytes = b"") -> None:
        """Answer with an error."""
        self._telemetry.refused(status, code)
        head = exchange.head
        if not head.cors and (origin := head.headers.get(b"origin")) is not None:
            # Refused before anybody looked at where it comes from: a page that may ask may read why it was refused.
            self._origins.admit(head, origin)
        # Too many, too much at once, and a fault of ours may pass by themselves; what is wrong with a request does not.
        passes = status in (408, 429, 500, 503)
        fault = Fault(status=status, code=code, message=message, retry_after=RETRY_SOON if passes else None)
        own = b"x-gridtie-request-id: %b\r\n" % exchange.id.encode()
        body = format_for(head.path, head.headers).error(fault)
        exchange.respond(status, JSON + own + fields + retry_fields(fault), body)

    def sweep(self, now: float) -> None:
        """Called ten times a second: keeps the Date header, which has seconds."""
        if now - self._second >= 0.5:
            self._second = now
            self.date_line = f"date: {formatdate(usegmt=True)}\r\n".encode()

    def drain(self) -> None:
        """Take no more requests; end idle connections."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.drain()
        if not self.connections:
            self.empty.set()

    def _no(self, exchange: Exchange, status: int, code: str, message: str, fields: bytes = b"") -> bool:
        self.refuse(exchange, status, code, message, fields)
        return False


def _no_key(headers: dict[bytes, bytes]) -> str:
    """What came where a key would be: some clients send theirs in another way."""
    if b"api-key" in headers:
        return "api-key found, which is not read"
    if b"authorization" in headers:
        return "Authorization found without Bearer"
    return "no key was sent"
