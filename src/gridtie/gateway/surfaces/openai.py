"""OpenAI's surface: chat completions, completions, embeddings, the list of models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import msgspec

from gridtie.dialects.embeddings.facts import read_openai
from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.openai_completions.facts import read as read_completion
from gridtie.gateway.dispatch import Dispatcher
from gridtie.gateway.error_format import OpenAIErrorFormat, format_for
from gridtie.gateway.errors import Fault
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.response import JSON, retry_fields
from gridtie.gateway.routes import Route
from gridtie.gateway.surfaces.anthropic import listing, shown
from gridtie.providers.registry import ModelListing

_encode = msgspec.json.Encoder().encode


class OpenAI:
    """`/v1/chat/completions`, `/v1/completions`, `/v1/embeddings` and `/v1/models`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._errors = OpenAIErrorFormat()

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path="/v1/chat/completions", post=self.chat, relay=True),
            Route(path="/v1/completions", post=self.completions, relay=True),
            Route(path="/v1/embeddings", post=self.embeddings, relay=True),
            Route(path="/v1/models", get=self.models, relay=True),
            Route(path="/v1/models/", get=self.model),
        )

    def chat(self, exchange: Exchange) -> None:
        """Answer one chat completion, streamed or whole."""
        self._dispatcher.serve(exchange, "openai", _chat, self._errors)

    def completions(self, exchange: Exchange) -> None:
        """Answer one completion that is no chat."""
        self._dispatcher.serve(exchange, "openai", _completion, self._errors)

    def embeddings(self, exchange: Exchange) -> None:
        """Answer with the vectors of texts."""
        self._dispatcher.serve(exchange, "openai", _embeddings, self._errors)

    def models(self, exchange: Exchange) -> None:
        """Every name that a client may ask for."""
        head = exchange.head
        models = head.loaded.targets.models()
        if b"anthropic-version" in head.headers:
            exchange.respond(200, JSON, listing(models))
            return
        rows = [_row(listed) for listed in models]
        if head.key is not None and head.key.relay:
            for row, listed in zip(rows, models, strict=True):
                row["gridtie"]["offer"] = self._dispatcher.offer(listed.served_by, head.loaded)
        exchange.respond(200, JSON, _encode({"object": "list", "data": rows}))

    def model(self, exchange: Exchange) -> None:
        """One of them."""
        head = exchange.head
        name = unquote(head.rest)
        if (listed := head.loaded.targets.listing(name)) is not None:
            of_anthropic = b"anthropic-version" in head.headers
            exchange.respond(200, JSON, shown(listed) if of_anthropic else _encode(_row(listed)))
            return
        fault = Fault(
            status=404, code="model_not_found", message=f"there is no model {name[:200]!r}; GET /v1/models lists them"
        )
        exchange.respond(404, JSON + retry_fields(fault), format_for(head.path, head.headers).error(fault))


def _chat(exchange: Exchange) -> Facts:
    return read(exchange.body)


def _completion(exchange: Exchange) -> Facts:
    return read_completion(exchange.body)


def _embeddings(exchange: Exchange) -> Facts:
    return read_openai(exchange.body)


def _row(listed: ModelListing) -> dict[str, Any]:
    return {
        "id": listed.id,
        "object": "model",
        # OpenAI's clients want a time; nobody knows one.
        "created": 0,
        "owned_by": "gridtie",
        "gridtie": {
            "kind": listed.kind,
            "localities": listed.localities,
            "context": listed.context,
            "capabilities": listed.capabilities,
            "served_by": listed.served_by,
            "digest": listed.digest or None,
            "score": listed.score,
            "acceptance": listed.acceptance,
        },
    }
