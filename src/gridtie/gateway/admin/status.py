"""`/health`, `/healthz`, `/readyz` and `/metrics`: they answer without a key, and tell nothing of the setup."""

from __future__ import annotations

from collections.abc import Iterable

from gridtie.gateway.admin.answer import tell
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.gateway.settings import Settings
from gridtie.gateway.telemetry import Telemetry
from gridtie.ledger.ledger import Ledger
from gridtie.routing.state import State

_METRICS = b"content-type: text/plain; version=0.0.4; charset=utf-8\r\n"


class Status:
    """Whether the router is well."""

    def __init__(self, settings: Settings, ledger: Ledger, telemetry: Telemetry, state: State) -> None:
        self._settings = settings
        self._ledger = ledger
        self._telemetry = telemetry
        self._state = state
        self.draining = False

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            # Some clients look whether anybody is there before they ask.
            Route(path="/", get=self.root, public=True),
            Route(path="/healthz", get=self.healthz, public=True),
            Route(path="/readyz", get=self.readyz, public=True),
            # What balances other stations' requests looks here.
            Route(path="/health", get=self.relays, public=True),
            Route(path="/metrics", get=self.metrics, public=True),
        )

    def root(self, exchange: Exchange) -> None:
        """Somebody is there."""
        tell(exchange, {"service": "gridtie"})

    def healthz(self, exchange: Exchange) -> None:
        """Alive."""
        tell(exchange, {"status": "ok"})

    def readyz(self, exchange: Exchange) -> None:
        """Whether requests can be served, and if not why; in full for admin keys."""
        self._tell(exchange, [])

    def relays(self, exchange: Exchange) -> None:
        """Whether requests of other stations can be served."""
        station = self._settings.current.station
        draining = station is not None and station.draining
        self._tell(exchange, ["it takes no requests of other stations now"] if draining else [])

    def _tell(self, exchange: Exchange, also: list[str]) -> None:
        key = exchange.head.key
        reasons = [*also, *self.unready(in_full=key is not None and key.admin)]
        body = {"status": "unready" if reasons else "ready", "reasons": reasons}
        tell(exchange, body, 503 if reasons else 200)

    def unready(self, *, in_full: bool) -> list[str]:
        """Why requests cannot be served; empty where they can. `in_full` with paths and addresses."""
        reasons = ["the router is going down"] if self.draining else []
        if self._ledger.fault:
            reasons.append(self._ledger.fault if in_full else "requests cannot be metered; the router's log says why")
        loaded = self._settings.current
        if loaded.station is not None and loaded.station.models:
            states = self._state.snapshot(0.0).states
            # A probe that succeeded has found out whether the model is in memory.
            probed = [states[id] for id, target in loaded.targets.by_id.items() if target.probe_url and id in states]
            if probed and not any(state.ready and state.loaded is not None for state in probed):
                told = {state.last_error for state in probed if state.last_error} if in_full else set()
                reasons.append("the engine has not answered yet" + "".join(f"; {each}" for each in sorted(told)))
        return reasons

    def metrics(self, exchange: Exchange) -> None:
        """For Prometheus."""
        exchange.respond(200, _METRICS, self._telemetry.render())
