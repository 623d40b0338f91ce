"""`POST /gridtie/route`: what would become of a request that is described, and why; nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from gridtie.gateway.admin.answer import refuse, tell
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.keys import resolve_environment
from gridtie.gateway.routes import Route
from gridtie.gateway.settings import Settings
from gridtie.routing.explain import explain, read_query
from gridtie.routing.plan import Refusal
from gridtie.routing.state import State


class Explanation:
    """Decides as for a real request."""

    def __init__(self, settings: Settings, state: State) -> None:
        self._settings = settings
        self._state = state

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path="/gridtie/route", post=self.route),)

    def route(self, exchange: Exchange) -> None:
        """The plan for a request in outline."""
        key = exchange.head.key
        if key is None:
            return
        try:
            query = read_query(bytes(exchange.body))
        except ValueError as error:
            refuse(exchange, 400, "invalid_query", str(error))
            return
        environment = resolve_environment(key, query.environment)
        if isinstance(environment, Refusal):
            refuse(exchange, environment.status, environment.code, environment.message)
            return
        snapshot = self._state.snapshot(monotonic())
        tell(exchange, explain(query, key.name, environment, self._settings.current.policy, snapshot))
