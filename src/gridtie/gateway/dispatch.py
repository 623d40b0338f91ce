"""Between surfaces and routing: takes a request that a surface has read, and has it carried out."""

from __future__ import annotations

from functools import partial
from time import monotonic, time

from gridtie.gateway.claims import Claims, claims
from gridtie.gateway.error_format import ErrorFormat
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.keys import Key
from gridtie.gateway.metering import Metering
from gridtie.gateway.response import Response
from gridtie.gateway.settings import Loaded, Settings
from gridtie.routing.decide import decide
from gridtie.routing.executor import Decide, Executor
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Dialect, Plan, Refusal, RequestInfo
from gridtie.routing.policy import Policy
from gridtie.routing.snapshot import Snapshot

_ANYBODY = Key(name="", environments=("",))


class Dispatcher:
    """What every surface shares."""

    def __init__(self, settings: Settings, executor: Executor, metering: Metering) -> None:
        self.settings = settings
        self._executor = executor
        self._metering = metering
        self._decide: Decide
        self.reload(settings.current)

    def reload(self, loaded: Loaded) -> None:
        """Decide by another configuration from here on; what is under way keeps its own."""
        self._decide = partial(_decide, loaded.policy)
        self._metering.targets = loaded.targets

    def claims(self, exchange: Exchange) -> Claims | Refusal:
        """What the request's headers claim, if its key allows it."""
        head = exchange.head
        if head.claims is not None:
            return head.claims
        found = claims(head.headers, head.key or _ANYBODY)
        if isinstance(found, Claims):
            head.claims = found
        return found

    def submit(self, exchange: Exchange, ask: RequestInfo, wants_usage: bool, errors: ErrorFormat) -> None:
        """Carry out a request; its body is the exchange's."""
        if self._metering.fault:
            # Before any work is done that would have to be thrown away.
            self.refuse(exchange, ask, Refusal(status=503, code="not_metered", message=self._metering.fault), errors)
            return
        reply = Response(exchange, errors, self._metering)
        body: bytes = exchange.body  # type: ignore[assignment]  # or a bytearray, which is read in the same way
        execution = self._executor.run(ask, body, wants_usage, self._decide, self.settings.current.routing, reply)
        if not exchange.answered:
            exchange.listener = execution

    def refuse(self, exchange: Exchange, ask: RequestInfo, refusal: Refusal, errors: ErrorFormat) -> None:
        """Answer a request that is not even decided about; it is in the books all the same."""
        outcome = Outcome(ask, Plan(rule="", refusal=refusal), time(), monotonic())
        Response(exchange, errors, self._metering).refuse(outcome, refusal)

    def unread(
        self, exchange: Exchange, surface: Dialect, claimed: Claims | None = None, alias: str = ""
    ) -> RequestInfo:
        """What is known of a request that could not be read further."""
        key = exchange.head.key or _ANYBODY
        return RequestInfo(
            id=exchange.id,
            surface=surface,
            alias=alias,
            environment=claimed.environment if claimed else key.environments[0],
            key=key.name,
            agent=claimed.agent if claimed else None,
            tags=claimed.tags if claimed else frozenset(),
        )


def _decide(policy: Policy, ask: RequestInfo, snapshot: Snapshot) -> Plan:
    return decide(ask, policy, snapshot)
