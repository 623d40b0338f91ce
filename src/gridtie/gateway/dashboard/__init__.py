"""The dashboard: what the router does, at a glance (`/dashboard`).

The page and its scripts lie in `assets` and are sent as they are. What it shows comes from three places: `live` (what
is so now, as server-sent events), `history` (figures of a period) and `requests` (rows of the ledger). Nothing of it is
worked out while nobody looks, and requests of clients never wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from gridtie.gateway.dashboard.explained import Explained
from gridtie.gateway.dashboard.history import History
from gridtie.gateway.dashboard.live import Live
from gridtie.gateway.dashboard.moment import Moment
from gridtie.gateway.dashboard.reader import Reader
from gridtie.gateway.dashboard.requests import Requests
from gridtie.gateway.dashboard.sessions import Sessions
from gridtie.gateway.dashboard.sign_in import SignIn
from gridtie.gateway.dashboard.static import Static
from gridtie.gateway.dashboard.under_way import UnderWay
from gridtie.gateway.machine_readings import MachineReadings
from gridtie.gateway.routes import Route
from gridtie.gateway.settings import Settings
from gridtie.ledger.ledger import Ledger
from gridtie.routing.runner import Runner
from gridtie.routing.state import State


class Dashboard:
    """`/dashboard` and what is below it, and `/gridtie/sign-in`."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        state: State,
        runner: Runner,
        loop: asyncio.AbstractEventLoop,
        unready: Callable[[bool], list[str]],
        totals: Callable[[], dict[str, int]],
        readings: MachineReadings,
    ) -> None:
        """`unready` says why the router cannot serve, in full or not; `totals` counts connections and held bytes."""
        sign_in = SignIn(Sessions(), lambda: settings.current.keys)
        under_way = UnderWay(runner, sign_in)
        self._moment = Moment(lambda: settings.current, state, ledger, under_way, unready, totals, readings)
        self._reader = Reader(ledger.database, loop)
        self._live = Live(self._moment, sign_in, loop)
        self._parts = (
            Static(),
            sign_in,
            self._live,
            under_way,
            History(self._reader, sign_in),
            Requests(self._reader, sign_in),
            Explained(under_way, ledger, state, sign_in, lambda: settings.current, self._reader),
        )

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return [route for part in self._parts for route in part.routes()]

    def end_streams(self) -> None:
        """The router goes down: nobody who watches keeps it waiting."""
        self._live.close()

    async def close(self) -> None:
        """Let go of everything."""
        self._reader.close()
        await self._moment.engines.close()
