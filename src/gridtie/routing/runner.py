"""Runs requests: decides, reserves and sends, with nothing that could change in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import random
from time import monotonic, time

from gridtie.config.schema import Routing
from gridtie.dialects.facts import Facts
from gridtie.providers.target import Target
from gridtie.routing.decide import decide
from gridtie.routing.held_bytes import HeldBytes
from gridtie.routing.outcome import Outcome, Trace
from gridtie.routing.plan import PlannedAttempt, RequestInfo
from gridtie.routing.policy import Policy
from gridtie.routing.ports import Client, Lease, State
from gridtie.routing.request import Request
from gridtie.routing.sessions import digest
from gridtie.upstream.connection_pool import ConnectionPool
from gridtie.upstream.endpoint import Endpoint
from gridtie.upstream.origin import ProxySettings
from gridtie.upstream.sweeper import Sweeper

Begin = Callable[[Outcome, PlannedAttempt], None]


class Runner:
    """What all requests share. One per process; belongs to the event loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        state: State,
        pool: ConnectionPool,
        sweeper: Sweeper,
        proxies: ProxySettings,
        held: HeldBytes,
        begin: Begin,
        lot: Callable[[], float] = random,
    ) -> None:
        """`begin` is called before a request is sent to a cloud; a `LedgerError` from it ends the request.

        `lot` draws a number from 0 to 1, by which retries that would come together are kept apart.
        """
        self.loop = loop
        self.state = state
        self.sweeper = sweeper
        self.held = held
        self.begin = begin
        self.lot = lot
        self._pool = pool
        self._proxies = proxies
        self._endpoints: dict[str, tuple[Target, Endpoint]] = {}
        self._desks: dict[str, tuple[Target, Endpoint]] = {}

    def run(
        self,
        info: RequestInfo,
        facts: Facts,
        policy: Policy,
        routing: Routing,
        client: Client,
        trace: Trace | None = None,
        held: Lease | None = None,
    ) -> Request:
        """Decide, reserve and send, without an `await` in between: what was decided by still holds when it is taken.

        `held`: the slot that another station's router was given for it.
        """
        now = monotonic()
        session = digest(info, facts) if policy.twins else b""
        plan = decide(info, policy, self.state.snapshot(now, session))
        if plan.lacking:
            self.state.lacked(plan.lacking)
        request = Request(self, Outcome(info, plan, time(), now, trace), facts, routing, client, session)
        if held is None:
            request.start()
        else:
            request.start_with(held)
        return request

    def under_way(self) -> list[Request]:
        """Every request that has not come to its end."""
        return [member for member in self.sweeper.members() if isinstance(member, Request)]

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

    def desk(self, target: Target) -> Endpoint:
        """Where a member of the pool is asked about itself: its router's own paths."""
        found = self._desks.get(target.id)
        if found is None or found[0] is not target:
            base_url = target.base_url.removesuffix("/v1")
            found = self._desks[target.id] = (
                target,
                Endpoint(self._pool, base_url, target.headers, ca_file=target.ca_file),
            )
        return found[1]
