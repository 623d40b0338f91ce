"""Between surfaces and routing: takes a request that a surface has read, and has it carried out."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, time

from gridtie.dialects.facts import BYTES_PER_TOKEN, Facts
from gridtie.dialects.types import InvalidRequest
from gridtie.gateway.claims import Claims, claims
from gridtie.gateway.error_format import ErrorFormat
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.keys import Key
from gridtie.gateway.metering import Metering
from gridtie.gateway.response import Response
from gridtie.gateway.settling import Meter, Settling
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Plan, Refusal, RequestInfo, Surface
from gridtie.routing.runner import Runner

# Reads the facts of a request. Raises `InvalidRequest`.
ReadFacts = Callable[[Exchange], Facts]

_ANYBODY = Key(name="", environments=("",))
_NO_FACTS = Facts(fields={})

# An image in an estimate of a prompt's size: between the smallest and the largest that models count.
IMAGE_TOKENS = 1000
# What wraps a message in a model's template, in tokens, as most models have it.
MESSAGE_TOKENS = 4


def request_info(id: str, surface: Surface, facts: Facts, key: Key | None, claimed: Claims | None) -> RequestInfo:
    """All that `decide` may look at of a request; the same for one that is sent and one that is only explained."""
    key = key or _ANYBODY
    claimed = claimed or Claims(key.environments[0])
    text, messages = facts.text_bytes, facts.messages
    # In the order of its fields, for the same reason as in `metering`.
    return RequestInfo(
        id,
        surface,
        facts.model,  # alias
        claimed.environment,
        key.name,  # key
        claimed.agent,
        claimed.tags,
        key.relay,  # relayed
        facts.stream,
        facts.needs,
        # Rounded up: what is there is not nothing.
        (text + 3) // BYTES_PER_TOKEN + MESSAGE_TOKENS * messages + IMAGE_TOKENS * facts.images,  # prompt_tokens
        text,  # text_bytes
        messages,
        facts.images,
        facts.caches,
        facts.max_output,
        facts.choices,
        facts.extras,
        claimed.purpose,
    )


class Dispatcher:
    """What every surface shares."""

    def __init__(self, runner: Runner, metering: Metering) -> None:
        self._runner = runner
        self._metering = metering

    def claims(self, exchange: Exchange) -> Claims | Refusal:
        """What the request's headers claim, if its key allows it; the same head is read once (`Head.claims`)."""
        head = exchange.head
        found = claims(head.headers, head.key or _ANYBODY)
        if isinstance(found, Claims):
            head.claims = found
        return found

    def serve(self, exchange: Exchange, surface: Surface, read: ReadFacts, errors: ErrorFormat) -> None:
        """Answer a request whose body this reads: what every surface does with a prompt."""
        claimed = exchange.head.claims or self.claims(exchange)
        if isinstance(claimed, Refusal):
            self.refuse(exchange, self.unread(exchange, surface), claimed, errors)
            return
        try:
            facts = read(exchange)
        except InvalidRequest as error:
            refusal = Refusal(status=400, code="invalid_body", message=str(error))
            self.refuse(exchange, self.unread(exchange, surface, claimed), refusal, errors)
            return
        self.submit(exchange, request_info(exchange.id, surface, facts, exchange.head.key, claimed), facts, errors)

    def submit(self, exchange: Exchange, info: RequestInfo, facts: Facts, errors: ErrorFormat) -> None:
        """Carry out a request, by the configuration that its head was admitted by."""
        loaded = exchange.head.loaded
        meter: Meter = self._metering
        if self._metering.ledger.fault:
            # Before any work is done that would have to be thrown away.
            refusal = Refusal(status=503, code="not_metered", message=self._metering.ledger.fault, retry_after=5)
            self.refuse(exchange, info, refusal, errors)
            return
        if loaded.allowance is not None:
            taken = loaded.allowance.take(info.prompt_tokens, monotonic())
            if isinstance(taken, Refusal):
                self.refuse(exchange, info, taken, errors)
                return
            meter = Settling(meter, taken, monotonic)
        response = Response(exchange, errors, meter, loaded)
        request = self._runner.run(info, facts, loaded.policy, loaded.routing, response)
        if not exchange.answered:
            exchange.listener = request

    def refuse(self, exchange: Exchange, info: RequestInfo, refusal: Refusal, errors: ErrorFormat) -> None:
        """Answer a request that is not even decided about; it is in the ledger all the same."""
        outcome = Outcome(info, Plan(rule="", refusal=refusal), time(), monotonic(), refusal=refusal)
        Response(exchange, errors, self._metering, exchange.head.loaded).refuse(outcome, refusal)

    def unread(self, exchange: Exchange, surface: Surface, claimed: Claims | None = None) -> RequestInfo:
        """What is known of a request that could not be read further."""
        return request_info(exchange.id, surface, _NO_FACTS, exchange.head.key, claimed)
