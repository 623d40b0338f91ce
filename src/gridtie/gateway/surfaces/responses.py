"""OpenAI's newer surface: responses, each of which may go on from one of before where such are kept."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_responses.facts import read
from gridtie.dialects.openai_responses.kept import Earlier
from gridtie.gateway.dispatch import Dispatcher, Refused
from gridtie.gateway.error_format import ResponsesErrorFormat
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.request_head import body_too_large
from gridtie.gateway.routes import Route
from gridtie.routing.plan import Refusal
from gridtie.routing.refusals import OVERLOADED


class Responses:
    """`/v1/responses`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._errors = ResponsesErrorFormat()

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (Route(path="/v1/responses", post=self.responses),)

    def responses(self, exchange: Exchange) -> None:
        """Answer one request, streamed or whole."""
        self._dispatcher.serve(exchange, "openai", self._facts, self._errors)

    def _facts(self, exchange: Exchange) -> Facts:
        keeps = exchange.head.loaded.routing.responses.keep
        return read(exchange.body, partial(self._recall, exchange) if keeps else None)

    def _recall(self, exchange: Exchange, id: str) -> Earlier:
        """What a conversation of this key came to, as part of this request from here on. Raises `Refused`."""
        key = exchange.head.key
        owner = "" if key is None else key.name
        earlier = self._dispatcher.recall(exchange, id)
        routing = exchange.head.loaded.routing
        if earlier is None:
            raise Refused(_not_kept(routing.responses.keep_seconds))
        sent, most = len(exchange.body), routing.limits
        if sent + len(earlier.items) > most.max_body_bytes:
            status, code, message = body_too_large(most)
            what = f"with what the conversation came to, {message}; send what is still needed of it in `input`"
            raise Refused(Refusal(status=status, code=code, message=what))
        # The body, and a second one that both are put together in.
        if not exchange.hold(self._dispatcher.held, owner, 2 * sent + len(earlier.items)):
            raise Refused(OVERLOADED)
        return earlier


def _not_kept(seconds: float) -> Refusal:
    message = (
        "previous_response_id: found one that is not kept; wanted an answer that this key got within the last "
        f"{seconds:g} s, not with `store: false`, and not pushed out since by others or by a restart "
        "(responses.keep_seconds, keep_entries and keep_bytes in llm_routing.yaml); send all items in `input`"
    )
    return Refusal(status=400, code="previous_response_not_found", message=message)
