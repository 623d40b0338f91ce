"""`POST /gridtie/route`: what would become of a request that is described, and why; nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from gridtie.gateway.admin.answer import refuse, tell
from gridtie.gateway.claims import claimed
from gridtie.gateway.dispatch import request_info
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.routes import Route
from gridtie.routing.explain import explain, read_query
from gridtie.routing.plan import Refusal
from gridtie.routing.sessions import digest
from gridtie.routing.state import State


class Explanation:
    """Decides as for a real request."""

    def __init__(self, state: State) -> None:
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
            query = read_query(exchange.body)
        except ValueError as error:
            refuse(exchange, 400, "invalid_query", str(error))
            return
        found = claimed(key, query.environment, query.agent, query.tags, query.purpose)
        if isinstance(found, Refusal):
            refuse(exchange, found.status, found.code, found.message)
            return
        facts, policy = query.facts(), exchange.head.loaded.policy
        info = request_info(exchange.id, query.surface, facts, key, found, query.session)
        session = digest(info, facts) if policy.twins else b""
        tell(exchange, explain(info, policy, self._state.snapshot(monotonic(), session)))
