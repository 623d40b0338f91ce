"""Between surfaces and routing: takes a request that a surface has read, and has it carried out."""

from __future__ import annotations

from time import monotonic, time

from gridtie.dialects.facts import BYTES_PER_TOKEN, Facts
from gridtie.gateway.claims import Claims, claims
from gridtie.gateway.error_format import ErrorFormat
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.keys import Key
from gridtie.gateway.metering import Metering
from gridtie.gateway.response import Response
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Dialect, Plan, Refusal, RequestInfo
from gridtie.routing.runner import Runner

_ANYBODY = Key(name="", environments=("",))
_NO_FACTS = Facts(fields={})

# An image in an estimate of a prompt's size: between the smallest and the largest that models count.
IMAGE_TOKENS = 1000
# Text of people and programs has at least three bytes a token with the tokenizers in use: three digits, some code.
# What is denser (base64, a few scripts) may be billed above what was reserved for it, which is counted and logged.
DENSE_BYTES_PER_TOKEN = 3
# What wraps a message in a model's template, in tokens: as most models have it, and at most.
MESSAGE_TOKENS, MOST_MESSAGE_TOKENS = 4, 16


def request_info(
    id: str, surface: Dialect, facts: Facts, key: Key | None, claimed: Claims | None, alias: str = ""
) -> RequestInfo:
    """All that `decide` may look at of a request; the same for one that is sent and one that is only explained."""
    key = key or _ANYBODY
    return RequestInfo(
        id=id,
        surface=surface,
        alias=facts.model or alias,
        environment=claimed.environment if claimed is not None else key.environments[0],
        key=key.name,
        agent=claimed.agent if claimed is not None else None,
        tags=claimed.tags if claimed is not None else frozenset(),
        purpose=claimed.purpose if claimed is not None else "",
        relayed=key.relay,
        stream=facts.stream,
        needs=facts.needs,
        prompt_tokens=_tokens(facts.text_bytes, BYTES_PER_TOKEN)
        + MESSAGE_TOKENS * facts.messages
        + IMAGE_TOKENS * facts.images,
        prompt_bound=_tokens(facts.text_bytes, DENSE_BYTES_PER_TOKEN) + MOST_MESSAGE_TOKENS * facts.messages,
        images=facts.images,
        caches=facts.caches,
        max_output=facts.max_output,
        choices=facts.choices,
        extras=facts.extras,
    )


def _tokens(size: int, bytes_per_token: int) -> int:
    """Rounded up: what is there is not nothing."""
    return -(-size // bytes_per_token)


class Dispatcher:
    """What every surface shares."""

    def __init__(self, runner: Runner, metering: Metering) -> None:
        self._runner = runner
        self._metering = metering

    def claims(self, exchange: Exchange) -> Claims | Refusal:
        """What the request's headers claim, if its key allows it."""
        head = exchange.head
        if head.claims is not None:
            return head.claims
        found = claims(head.headers, head.key or _ANYBODY)
        if isinstance(found, Claims):
            head.claims = found
        return found

    def submit(self, exchange: Exchange, info: RequestInfo, facts: Facts, errors: ErrorFormat) -> None:
        """Carry out a request, by the configuration that its head was admitted by."""
        loaded = exchange.head.loaded
        if self._metering.fault:
            # Before any work is done that would have to be thrown away.
            refusal = Refusal(status=503, code="not_metered", message=self._metering.fault, retry_after=5)
            self.refuse(exchange, info, refusal, errors)
            return
        response = Response(exchange, errors, self._metering, loaded)
        request = self._runner.run(info, facts, loaded.policy, loaded.routing, response)
        if not exchange.answered:
            exchange.listener = request

    def refuse(self, exchange: Exchange, info: RequestInfo, refusal: Refusal, errors: ErrorFormat) -> None:
        """Answer a request that is not even decided about; it is in the ledger all the same."""
        outcome = Outcome(info, Plan(rule="", refusal=refusal), time(), monotonic(), refusal=refusal)
        Response(exchange, errors, self._metering, exchange.head.loaded).refuse(outcome, refusal)

    def unread(self, exchange: Exchange, surface: Dialect, claimed: Claims | None = None) -> RequestInfo:
        """What is known of a request that could not be read further."""
        return request_info(exchange.id, surface, _NO_FACTS, exchange.head.key, claimed)
