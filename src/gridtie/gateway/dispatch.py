"""Between surfaces and routing: takes a request that a surface has read, and has it carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gridtie.config.names import PRIVATE
from gridtie.dialects.body import NULL
from gridtie.dialects.facts import BYTES_PER_TOKEN, Facts
from gridtie.dialects.openai_responses.kept import Earlier, answered, items
from gridtie.dialects.types import InvalidRequest
from gridtie.gateway.claims import Claims, claims
from gridtie.gateway.error_format import ErrorFormat
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.kept_answers import KeptAnswers
from gridtie.gateway.keys import Key
from gridtie.gateway.metering import Metering
from gridtie.gateway.response import Response
from gridtie.gateway.settings import Loaded
from gridtie.gateway.settling import Meter, Settling
from gridtie.gateway.slots import Slots
from gridtie.providers import relay
from gridtie.providers.relay import Offer
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Plan, Refusal, RequestInfo, Surface
from gridtie.routing.ports import Lease
from gridtie.routing.runner import Runner

if TYPE_CHECKING:
    from gridtie.gateway.traces.tracing import Tracing

# Reads the facts of a request. Raises `InvalidRequest`.
ReadFacts = Callable[[Exchange], Facts]

_PRIVATE = frozenset({PRIVATE})
_ANYBODY = Key(name="", environments=("",))
_NO_FACTS = Facts(fields={})

_SLOT = relay.HEADER.encode()

# Headers by which clients name a session: many agents, opencode beside it, Claude Code.
_SESSION = (b"x-session-id", b"x-session-affinity", b"x-claude-code-session-id")

# An image in an estimate of a prompt's size: between the smallest and the largest that models count.
IMAGE_TOKENS = 1000
# What wraps a message in a model's template, in tokens, as most models have it.
MESSAGE_TOKENS = 4


def request_info(
    id: str, surface: Surface, facts: Facts, key: Key | None, claimed: Claims | None, session: str = ""
) -> RequestInfo:
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
        claimed.tags | _PRIVATE if facts.private else claimed.tags,
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
        session,
        facts.stays,
    )


def session_of(headers: Mapping[bytes, bytes]) -> str:
    """What a client calls its session in a header; "" where it does not."""
    for name in _SESSION:
        if (value := headers.get(name)) is not None:
            return value.decode("latin-1").strip()
    return ""


class Refused(Exception):
    """While a request was read it turned out that it cannot be carried out."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Dispatcher:
    """What every surface shares."""

    def __init__(
        self, runner: Runner, metering: Metering, kept: KeptAnswers, slots: Slots, tracing: Tracing | None = None
    ) -> None:
        """`tracing`: None where no traces are sent."""
        self._tracing = tracing
        self._slots = slots
        self._runner = runner
        self._metering = metering
        self.kept = kept
        self.held = runner.held

    def claims(self, exchange: Exchange) -> Claims | Refusal:
        """What the request's headers claim, if its key allows it; the same head is read once (`Head.claims`)."""
        head = exchange.head
        found = claims(head.headers, head.key or _ANYBODY)
        if isinstance(found, Claims):
            head.claims = found
        return found

    def serve(self, exchange: Exchange, surface: Surface, read: ReadFacts, errors: ErrorFormat) -> None:
        """Answer a request whose body this reads, or that it refuses: what every surface does with a prompt."""
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
        except Refused as error:
            self.refuse(exchange, self.unread(exchange, surface, claimed), error.refusal, errors)
            return
        head = exchange.head
        session = session_of(head.headers) if head.loaded.policy.twins else ""
        info = request_info(exchange.id, surface, facts, head.key, claimed, session)
        held = None
        if info.relayed and (slot := head.headers.get(_SLOT)) is not None:
            held = self._slots.take(slot.decode("latin-1"), info.key)
            info = info if held is not None else replace(info, at_once=True)
        self.submit(exchange, info, facts, errors, held)

    def submit(
        self, exchange: Exchange, info: RequestInfo, facts: Facts, errors: ErrorFormat, held: Lease | None = None
    ) -> None:
        """Carry out a request, by the configuration that its head was admitted by; `held` is a slot for it."""
        loaded = exchange.head.loaded
        meter: Meter = self._metering
        if self._metering.ledger.fault:
            # Before any work is done that would have to be thrown away.
            if held is not None:
                held.release()
            refusal = Refusal(status=503, code="not_metered", message=self._metering.ledger.fault, retry_after=5)
            self.refuse(exchange, info, refusal, errors)
            return
        if loaded.allowance is not None:
            taken = loaded.allowance.take(info.prompt_tokens, monotonic())
            if isinstance(taken, Refusal):
                self.refuse(exchange, info, taken, errors)
                return
            meter = Settling(meter, taken, monotonic)
        keep = partial(self._keep, exchange, facts) if facts.keeps else None
        response = Response(exchange, errors, meter, loaded, keep)
        request = self._runner.run(
            info,
            facts,
            loaded.policy,
            loaded.routing,
            response,
            None if self._tracing is None else self._tracing.begin(exchange, info, facts),
            held,
        )
        if not exchange.answered:
            exchange.listener = request

    def offer(self, target_id: str, loaded: Loaded) -> Offer | None:
        """What other stations' routers could have of an engine now; None where it is not this station's own."""
        target = loaded.targets.by_id.get(target_id)
        return self._slots.offer(target) if target is not None and target.own else None

    def recall(self, exchange: Exchange, id: str) -> Earlier | None:
        """What a conversation of the request's key came to with an answer of before; None where it is not kept."""
        owner = (exchange.head.key or _ANYBODY).name
        return self.kept.recall(owner, id, monotonic()) if self._still_its(exchange, owner) else None

    def forget(self, exchange: Exchange, id: str) -> bool:
        """Keep an answer of the request's key no longer; False where it was not kept."""
        if self.recall(exchange, id) is None:
            return False
        self.kept.forget((exchange.head.key or _ANYBODY).name, id)
        return True

    def _keep(self, exchange: Exchange, facts: Facts, outcome: Outcome, last: bytes) -> None:
        """Keep what the conversation has come to with an answer, which the client is about to get."""
        found, info = answered(last), outcome.info
        if found is not None and self._still_its(exchange, info.key):
            put = items(facts.fields.get("input", NULL))
            earlier = found.earlier(put, private=PRIVATE in info.tags, stays=outcome.plan.local_only)
            self.kept.keep(info.key, found.id, earlier, monotonic())

    def _still_its(self, exchange: Exchange, owner: str) -> bool:
        """Whether a key's name is not another holder's by now: keys may be replaced while a request is under way."""
        return self.kept.holder_is(owner, exchange.head.loaded.keys.holders().get(owner, frozenset()))

    def refuse(self, exchange: Exchange, info: RequestInfo, refusal: Refusal, errors: ErrorFormat) -> None:
        """Answer a request that is not even decided about; it is in the ledger all the same."""
        trace = None if self._tracing is None else self._tracing.begin(exchange, info)
        outcome = Outcome(info, Plan(rule="", refusal=refusal), time(), monotonic(), trace, refusal=refusal)
        Response(exchange, errors, self._metering, exchange.head.loaded).refuse(outcome, refusal)

    def unread(self, exchange: Exchange, surface: Surface, claimed: Claims | None = None) -> RequestInfo:
        """What is known of a request that could not be read further."""
        return request_info(exchange.id, surface, _NO_FACTS, exchange.head.key, claimed)
