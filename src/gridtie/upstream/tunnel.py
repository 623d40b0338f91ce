"""CONNECT through an HTTP proxy, before TLS begins."""

from __future__ import annotations

import asyncio
from typing import cast

from gridtie.upstream.errors import ConnectFailed
from gridtie.upstream.origin import Origin, Proxy

# A proxy's answer to CONNECT is a status line and a few fields.
_MAX_ANSWER = 16 * 1024


class Tunnel(asyncio.Protocol):
    """Asks the proxy for a connection to the origin and waits for its 2xx."""

    def __init__(self, origin: Origin, proxy: Proxy) -> None:
        self._origin = origin
        self._proxy = proxy
        self._answer = bytearray()
        self._transport: asyncio.Transport  # from connection_made on
        self._done: asyncio.Future[None] | None = None

    async def established(self, loop: asyncio.AbstractEventLoop) -> None:
        """Returns once bytes go through to the origin. Raises `ConnectFailed`."""
        self._done = loop.create_future()
        host = f"[{self._origin.host}]" if ":" in self._origin.host else self._origin.host
        target = f"{host}:{self._origin.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if self._proxy.authorization:
            lines.append(f"Proxy-Authorization: {self._proxy.authorization}")
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await self._done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, rest = bytes(self._answer).partition(b"\r\n\r\n")
        if not end:
            if len(self._answer) > _MAX_ANSWER:
                self._fail("its answer to CONNECT does not end")
            return
        status = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(status) < 2 or not status[0].startswith(b"HTTP/1.") or not status[1].startswith(b"2"):
            self._fail(f"it answered {head.splitlines()[0][:80].decode('latin-1')!r} to CONNECT")
        elif rest:
            self._fail("it sent bytes before TLS began")
        elif self._done is not None and not self._done.done():
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("it closed the connection")

    def _fail(self, what: str) -> None:
        if self._done is not None and not self._done.done():
            where = f"{self._proxy.host}:{self._proxy.port}"
            self._done.set_exception(
                ConnectFailed(f"no way to {self._origin.authority} through the proxy {where}: {what}")
            )
