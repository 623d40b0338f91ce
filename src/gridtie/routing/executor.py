"""Runs requests: decides, reserves and sends, with nothing that could change in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, time

from gridtie.config.schema import Routing
from gridtie.providers.target import Target
from gridtie.routing.execution import Execution
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Plan, PlannedAttempt, RequestInfo
from gridtie.routing.ports import Client, State
from gridtie.routing.snapshot import Snapshot
from gridtie.upstream.connection_pool import ConnectionPool
from gridtie.upstream.endpoint import Endpoint
from gridtie.upstream.origin import ProxySettings
from gridtie.upstream.sweeper import Sweeper

Begin = Callable[[Outcome, PlannedAttempt], None]
Decide = Callable[[RequestInfo, Snapshot], Plan]


class Executor:
    """What all requests share. One per process; belongs to the event loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        state: State,
        pool: ConnectionPool,
        sweeper: Sweeper,
        proxies: ProxySettings,
        begin: Begin,
    ) -> None:
        """`begin` is called before a request is sent to a cloud; what it raises ends the request."""
        self.loop = loop
        self.state = state
        self.sweeper = sweeper
        self.begin = begin
        self._pool = pool
        self._proxies = proxies
        self._endpoints: dict[str, tuple[Target, Endpoint]] = {}

    def run(
        self, ask: RequestInfo, body: bytes, wants_usage: bool, decide: Decide, routing: Routing, client: Client
    ) -> Execution:
        """Decide, reserve and send, without an `await` in between: what was decided by still holds when it is taken."""
        now = monotonic()
        plan = decide(ask, self.state.snapshot(now))
        execution = Execution(self, Outcome(ask, plan, time(), now), body, wants_usage, routing, client)
        execution.start()
        return execution

    def under_way(self) -> list[Execution]:
        """Every request that has not come to its end."""
        return [member for member in self.sweeper.members() if isinstance(member, Execution)]

    def endpoint(self, target: Target) -> Endpoint:
        """Where a target is. Raises ValueError for a base URL that cannot be used."""
        found = self._endpoints.get(target.id)
        # By identity: after a reload another target may bear the name, with another address and key.
        if found is not None and found[0] is target:
            return found[1]
        # What is local is never sent through a proxy, which may be anywhere.
        proxy = self._proxies.for_url(target.base_url) if target.locality == "cloud" else None
        endpoint = Endpoint(self._pool, target.base_url, target.headers, ca_file=target.ca_file, proxy=proxy)
        self._endpoints[target.id] = (target, endpoint)
        return endpoint
