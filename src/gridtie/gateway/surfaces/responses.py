"""OpenAI's newer surface: responses. Where they are kept a later one may go on from them, and they are shown again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from urllib.parse import parse_qsl, unquote

import msgspec

from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_responses.facts import read
from gridtie.dialects.openai_responses.kept import Asked, Earlier, asked, shown
from gridtie.gateway.dispatch import Dispatcher, Refused
from gridtie.gateway.error_format import ResponsesErrorFormat
from gridtie.gateway.errors import Fault
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.request_head import body_too_large
from gridtie.gateway.response import JSON, retry_fields
from gridtie.gateway.routes import Route
from gridtie.routing.plan import Refusal
from gridtie.routing.refusals import OVERLOADED

_encode = msgspec.json.Encoder().encode
_INPUT_ITEMS = "input_items"
# Items on a page of them, as OpenAI has it: where nothing is said, and at most.
_USUAL_PAGE, _LONGEST_PAGE = 20, 100
# Digits.
_LONGEST_NUMBER = 9


class Responses:
    """`/v1/responses`, and below it those that are kept."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._errors = ResponsesErrorFormat()

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path="/v1/responses", post=self.responses),
            Route(path="/v1/responses/", get=self.show, delete=self.forget, post=self.nothing),
        )

    def responses(self, exchange: Exchange) -> None:
        """Answer one request, streamed or whole."""
        self._dispatcher.serve(exchange, "openai", self._facts, self._errors)

    def show(self, exchange: Exchange) -> None:
        """An answer of before, or the items that it answers."""
        id, _, part = unquote(exchange.head.rest).partition("/")
        if part not in ("", _INPUT_ITEMS):
            self.nothing(exchange)
            return
        if (earlier := self._dispatcher.recall(exchange, id)) is None:
            self._refuse(exchange, _unknown(exchange))
            return
        query = dict(parse_qsl(exchange.head.query))
        if part:
            found = _page(asked(earlier, id), query)
        elif query.get("stream") == "true":
            found = _bad_query("stream=true found: an answer that is kept is there as a whole; ask without it")
        else:
            found = shown(earlier)
        if isinstance(found, Fault):
            self._refuse(exchange, found)
        else:
            exchange.respond(200, JSON, found)

    def forget(self, exchange: Exchange) -> None:
        """Keep an answer no longer, because its client says so."""
        id = unquote(exchange.head.rest)
        if self._dispatcher.forget(exchange, id):
            exchange.respond(200, JSON, _encode({"id": id, "object": "response", "deleted": True}))
        else:
            self._refuse(exchange, _unknown(exchange))

    def nothing(self, exchange: Exchange) -> None:
        """What OpenAI has below a response and this router does not: cancelling, compacting, counting."""
        message = (
            f"there is nothing at {exchange.head.path[:200]!r}: no answer is made in the background here, and none is "
            "counted or compacted; GET and DELETE /v1/responses/{id} and GET /v1/responses/{id}/input_items there are"
        )
        self._refuse(exchange, Fault(status=404, code="not_found", message=message))

    def _refuse(self, exchange: Exchange, fault: Fault) -> None:
        exchange.respond(fault.status, JSON + retry_fields(fault), self._errors.error(fault))

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
    message = f"previous_response_id: found one that is not kept; {_wanted(seconds)}; send all items in `input`"
    return Refusal(status=400, code="previous_response_not_found", message=message)


def _unknown(exchange: Exchange) -> Fault:
    rules = exchange.head.loaded.routing.responses
    why = _wanted(rules.keep_seconds) if rules.keep else "this router keeps none (responses.keep in llm_routing.yaml)"
    return Fault(status=404, code="response_not_found", message=f"there is no answer of that id; {why}")


def _wanted(seconds: float) -> str:
    return (
        f"wanted an answer that this key got within the last {seconds:g} s, not with `store: false`, and not deleted "
        "or pushed out since by others or by a restart (responses.keep_seconds, keep_entries and keep_bytes in "
        "llm_routing.yaml)"
    )


def _page(items: list[Asked], query: dict[str, str]) -> bytes | Fault:
    """A page of a list as OpenAI's SDKs turn them, the newest first where nothing else is said."""
    limit, order = query.get("limit", str(_USUAL_PAGE)), query.get("order", "desc")
    # Longer ones are read no further: Python refuses a number of thousands of digits, be they zeros.
    most = int(limit) if len(limit) <= _LONGEST_NUMBER and limit.isdecimal() else 0
    if not 1 <= most <= _LONGEST_PAGE:
        return _bad_query(f"limit={limit[:40]!r} found; wanted: from 1 to {_LONGEST_PAGE}")
    if order not in ("asc", "desc"):
        return _bad_query(f"order={order[:40]!r} found; wanted: asc or desc")
    ordered = items if order == "asc" else items[::-1]
    if (after := query.get("after")) is not None:
        # An id that a client gave to several counts where it stands last: pages must come to an end.
        places = [at for at, item in enumerate(ordered) if item.id == after]
        if not places:
            return _bad_query(f"after={after[:200]!r} found, which is no item of this answer")
        ordered = ordered[places[-1] + 1 :]
    page = ordered[:most]
    ends = {"first_id": page[0].id, "last_id": page[-1].id} if page else {"first_id": None, "last_id": None}
    data = [item.listed() for item in page]
    return _encode({"object": "list", "data": data, "has_more": len(ordered) > len(page), **ends})


def _bad_query(message: str) -> Fault:
    return Fault(status=400, code="invalid_query", message=message)
