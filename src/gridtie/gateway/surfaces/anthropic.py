"""Anthropic's surface: messages, and an estimate of their size."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gridtie.dialects.anthropic.facts import read
from gridtie.dialects.facts import Facts
from gridtie.dialects.types import InvalidRequest
from gridtie.gateway.dispatch import Dispatcher, request_info
from gridtie.gateway.error_format import AnthropicErrorFormat
from gridtie.gateway.errors import Fault, from_refusal
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.response import JSON, retry_fields
from gridtie.gateway.routes import Route
from gridtie.providers.registry import ModelListing
from gridtie.routing.plan import Refusal

_encode = msgspec.json.Encoder().encode
# What a client writes its body for; it goes on to a target of Anthropic's.
_PASSED = (b"anthropic-version", b"anthropic-beta")
# Longer than any list of betas; what is longer, or no plain text, is not passed on.
_MAX_HEADER = 2048
_BETA = "beta=true"
# Clients want a time; nobody knows one.
_NO_TIME = "1970-01-01T00:00:00Z"


class Anthropic:
    """`/v1/messages`, `/v1/messages/count_tokens`, and `HEAD /`, by which Claude Code sees that somebody is there."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._errors = AnthropicErrorFormat()

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path="/v1/messages", post=self.messages),
            Route(path="/v1/messages/count_tokens", post=self.count_tokens),
            Route(path="/", get=self.root, public=True),
        )

    def messages(self, exchange: Exchange) -> None:
        """Answer one message request, streamed or whole."""
        self._dispatcher.serve(exchange, "anthropic", _facts, self._errors)

    def count_tokens(self, exchange: Exchange) -> None:
        """The estimate that rules go by. No model is asked, so it costs nothing and goes nowhere."""
        claimed = exchange.head.claims or self._dispatcher.claims(exchange)
        if isinstance(claimed, Refusal):
            self._refuse(exchange, from_refusal(claimed))
            return
        try:
            facts = _facts(exchange)
        except InvalidRequest as error:
            self._refuse(exchange, Fault(status=400, code="invalid_body", message=str(error)))
            return
        info = request_info(exchange.id, "anthropic", facts, exchange.head.key, claimed)
        exchange.respond(200, JSON, _encode({"input_tokens": info.prompt_tokens}))

    def root(self, exchange: Exchange) -> None:
        """Where one is."""
        exchange.respond(200, JSON, _encode({"name": "gridtie", "models": "/v1/models"}))

    def _refuse(self, exchange: Exchange, fault: Fault) -> None:
        exchange.respond(fault.status, JSON + retry_fields(fault), self._errors.error(fault))


def listing(models: Iterable[ModelListing]) -> bytes:
    """The list of models as Anthropic's clients read it; it is never long enough for a second page."""
    rows = [_row(listed) for listed in models]
    ends = {"first_id": rows[0]["id"], "last_id": rows[-1]["id"]} if rows else {"first_id": None, "last_id": None}
    return _encode({"data": rows, "has_more": False, **ends})


def shown(listed: ModelListing) -> bytes:
    """One of them."""
    return _encode(_row(listed))


def _row(listed: ModelListing) -> dict[str, object]:
    return {
        "type": "model",
        "id": listed.id,
        "display_name": listed.id,
        "created_at": _NO_TIME,
        "lifecycle": "active",
        "max_input_tokens": listed.context,
    }


def _facts(exchange: Exchange) -> Facts:
    head = exchange.head
    passed = tuple((name.decode(), text) for name in _PASSED if (text := _plain(head.headers.get(name, b""))))
    return read(exchange.body, passed, _BETA if _BETA in head.query.split("&") else "")


def _plain(value: bytes) -> str:
    """A header that may go on; "" for any other."""
    text = value.decode("latin-1").strip()
    return text if text.isascii() and text.isprintable() and len(text) <= _MAX_HEADER else ""
