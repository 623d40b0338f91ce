"""`GET /dashboard/live`: what is so now, as server-sent events, once a second for everybody who watches.

Bounded: so many viewers in all and of one key; one answer a second is worked out for all who see the same, and none
while nobody watches. A viewer that does not read is sent nothing more, and its connection ends as that of any client
that stands still (`limits.STALL_SECONDS`). Every stream ends after a few minutes, and the page begins another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic

from gridtie.gateway.admin.answer import refuse
from gridtie.gateway.dashboard.moment import Moment
from gridtie.gateway.dashboard.sign_in import PATH, SignIn
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.routing.bounds import longest

INTERVAL_SECONDS = 1.0
# A tenth of the connections that the router takes by default; people who look at once.
MOST_VIEWERS = 100
# Tabs and machines of one person.
MOST_OF_A_KEY = 20
# Of one stream. Below what any answer may take (`timeouts.total`), where that is less.
STREAM_SECONDS = 300.0

_FIELDS = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-store\r\nx-accel-buffering: no\r\n"
_SIGNED_OUT = b"event: signed-out\ndata: {}\n\n"


class Live:
    """All who watch."""

    def __init__(self, moment: Moment, sign_in: SignIn, loop: asyncio.AbstractEventLoop) -> None:
        self._moment = moment
        self._sign_in = sign_in
        self._loop = loop
        self._watchers: set[_Watcher] = set()
        self._tick: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._watchers)

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path=f"{PATH}/live", get=self.watch, public=True),)

    def watch(self, exchange: Exchange) -> None:
        """Begin a stream with what is so now."""
        viewer = self._sign_in.viewer(exchange)
        if viewer is None:
            return
        same = sum(each.name == viewer.key.name for each in self._watchers)
        if self._closed or len(self._watchers) >= MOST_VIEWERS or same >= MOST_OF_A_KEY:
            most = f"{MOST_VIEWERS} viewers in all, {MOST_OF_A_KEY} of one key"
            refuse(
                exchange, 503, "too_many_viewers", f"too many look at once ({most}); close another one, or come back"
            )
            return
        if exchange.head.method == b"HEAD":
            exchange.respond(200, _FIELDS)
            return
        if self._tick is None:
            self._moment.refresh()
            self._tick = self._loop.call_later(INTERVAL_SECONDS, self._tell)
        until = monotonic() + min(STREAM_SECONDS, longest(exchange.head.loaded.routing))
        watcher = _Watcher(self._watchers, exchange, viewer.key.name, viewer.token, until)
        exchange.begin(200, _FIELDS, _event(self._moment.told(viewer)))
        exchange.listener = watcher

    def close(self) -> None:
        """The router goes down: nobody keeps it waiting."""
        self._closed = True
        if self._tick is not None:
            self._tick.cancel()
        for watcher in tuple(self._watchers):
            watcher.end()

    def _tell(self) -> None:
        """Once a second, as long as somebody watches."""
        self._tick = None
        if not self._watchers:
            self._moment.rest()
            return
        self._tick = self._loop.call_later(INTERVAL_SECONDS, self._tell)
        self._moment.refresh()
        now = monotonic()
        for watcher in tuple(self._watchers):
            viewer = self._sign_in.of(watcher.token)
            if viewer is None:
                watcher.end(_SIGNED_OUT)
            elif now >= watcher.until:
                watcher.end()
            elif not watcher.paused:
                watcher.exchange.write(_event(self._moment.told(viewer)))


class _Watcher:
    """One stream; the `Listener` of its exchange."""

    def __init__(self, among: set[_Watcher], exchange: Exchange, name: str, token: str, until: float) -> None:
        self.exchange = exchange
        self.name = name
        self.token = token
        self.until = until
        self.paused = False
        self._among = among
        among.add(self)

    def end(self, data: bytes = b"") -> None:
        """The stream is over."""
        self._among.discard(self)
        self.exchange.end(data)

    def cancel(self) -> None:
        self._among.discard(self)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


def _event(data: bytes) -> bytes:
    return b"data: %b\n\n" % data
