"""Keep-alive connections to upstreams, per origin."""

from __future__ import annotations

import asyncio
import ssl
from time import monotonic

from gridtie.upstream import tls
from gridtie.upstream.connection import Connection
from gridtie.upstream.errors import ConnectFailed, ConnectTimeout
from gridtie.upstream.origin import Origin
from gridtie.upstream.tunnel import Tunnel

# Seconds a connection is kept without use. llama.cpp's server closes after 5, Go's and nginx after a minute or
# more; one that was closed meanwhile is noticed and the request sent again.
IDLE_SECONDS = 30.0

# Idle connections kept per origin. More requests at a time than this open and close connections.
MAX_IDLE = 128


class ConnectionPool:
    """Hands out connections. How many are in use at a time is the business of whoever reserves slots."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pools: dict[Origin, OriginPool] = {}

    def of(self, origin: Origin) -> OriginPool:
        """The connections of one origin; keep it where requests are frequent."""
        found = self._pools.get(origin)
        if found is None:
            found = self._pools[origin] = OriginPool(self._loop, origin)
        return found

    def sweep(self, now: float) -> None:
        """Close what has been idle for too long."""
        for pool in self._pools.values():
            pool.sweep(now)

    def close(self) -> None:
        """Close all idle connections; those in use belong to their requests."""
        for pool in self._pools.values():
            pool.close()


class OriginPool:
    """The connections of one origin."""

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> None:
        self._loop = loop
        self.origin = origin
        self._idle: list[Connection] = []

    def take(self) -> Connection | None:
        """An idle connection, the one used last (the least likely to be stale); None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def open(self, seconds: float) -> Connection:
        """A new connection. Raises `ConnectFailed`, after `seconds` at the latest `ConnectTimeout`."""
        where = self.origin.authority
        try:
            async with asyncio.timeout(seconds):
                return await self._open()
        except TimeoutError as error:
            raise ConnectTimeout(f"no connection to {where} within {seconds:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(f"the certificate of {where} is not trusted: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise ConnectFailed(f"TLS with {where} failed: {error.reason or error}") from error
        except OSError as error:
            # A file of certificates that is missing or shut is one, too.
            passing = not isinstance(error, FileNotFoundError | PermissionError)
            raise ConnectFailed(f"no connection to {where}: {error.strerror or error}", passing=passing) from error

    async def _open(self) -> Connection:
        origin, loop = self.origin, self._loop
        context = tls.context(origin.ca_file) if origin.scheme == "https" else None
        name = origin.host if context else None
        connection = Connection(self)
        if origin.proxy is None:
            await loop.create_connection(
                lambda: connection, origin.host, origin.port, ssl=context, server_hostname=name
            )
            return connection
        if context is None:
            raise ConnectFailed(f"{origin.authority} is http: only https goes through a proxy")
        tunnel = Tunnel(origin, origin.proxy)
        raw, _ = await loop.create_connection(lambda: tunnel, origin.proxy.host, origin.proxy.port)
        try:
            await tunnel.established(loop)
            transport = await loop.start_tls(raw, connection, context, server_hostname=name)
        except BaseException:
            raw.abort()
            raise
        if transport is None:
            raise ConnectFailed(f"connection to {origin.authority} closed as TLS began", passing=True)
        connection.connection_made(transport)
        return connection

    # Owner of connections

    def idle(self, connection: Connection) -> None:
        """Keep a connection that has served its request."""
        if len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.abort()

    def gone(self, connection: Connection) -> None:
        """Forget a closed connection."""
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self, now: float | None = None) -> None:
        """Close what has been idle for too long; the list is ordered by the time it was last used."""
        limit = (monotonic() if now is None else now) - IDLE_SECONDS
        while self._idle and self._idle[0].idle_since < limit:
            self._idle.pop(0).abort()

    def close(self) -> None:
        """Close all idle connections."""
        while self._idle:
            self._idle.pop().abort()
