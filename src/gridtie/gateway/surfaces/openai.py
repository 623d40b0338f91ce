"""OpenAI's surface: chat completions and the list of models."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

import msgspec

from gridtie.dialects.failures import UNREADABLE
from gridtie.gateway.claims import Claims
from gridtie.gateway.dispatch import Dispatcher
from gridtie.gateway.error_format import OpenAIErrorFormat
from gridtie.gateway.errors import Fault
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.response import JSON
from gridtie.gateway.routes import Route
from gridtie.providers.registry import ModelListing
from gridtie.routing.plan import Refusal, RequestInfo

# Bytes of a request per token of its prompt: English and code lie between 3 and 5.
_BYTES_PER_TOKEN = 4

_ABSENT = msgspec.Raw(b"null")
_NOTHING = (b"null", b"[]", b"{}", b'"none"')


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ResponseFormat(msgspec.Struct):
    type: str | None = None


class _Chat(msgspec.Struct):
    """What routing needs of a body. Messages are not looked at: they are upstream's to judge."""

    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    response_format: _ResponseFormat | None = None
    tools: msgspec.Raw = _ABSENT
    functions: msgspec.Raw = _ABSENT


_decode = msgspec.json.Decoder(_Chat).decode
_encode = msgspec.json.Encoder().encode

# The eight sets of needs there can be, made once.
_NEEDS = {
    (tools, vision, json): frozenset(
        name for name, needed in (("tools", tools), ("vision", vision), ("json", json)) if needed
    )
    for tools in (False, True)
    for vision in (False, True)
    for json in (False, True)
}


class OpenAI:
    """`/v1/chat/completions` and `/v1/models`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._errors = OpenAIErrorFormat()

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path="/v1/chat/completions", post=self.chat, relay=True),
            Route(path="/v1/models", get=self.models, relay=True),
            Route(path="/v1/models/", get=self.model),
        )

    def chat(self, exchange: Exchange) -> None:
        """Answer one chat completion, streamed or whole."""
        dispatcher = self._dispatcher
        claimed = dispatcher.claims(exchange)
        if isinstance(claimed, Refusal):
            dispatcher.refuse(exchange, dispatcher.unread(exchange, "openai"), claimed, self._errors)
            return
        try:
            chat = _decode(exchange.body)
        except UNREADABLE as error:
            refusal = Refusal(
                status=400, code="invalid_body", message=f"the body is not a chat completion request: {error}"
            )
            dispatcher.refuse(exchange, dispatcher.unread(exchange, "openai", claimed), refusal, self._errors)
            return
        options = chat.stream_options
        wants_usage = options is not None and bool(options.include_usage)
        dispatcher.submit(exchange, _ask(exchange, chat, claimed), wants_usage, self._errors)

    def models(self, exchange: Exchange) -> None:
        """Every name that a client may ask for."""
        rows = [_row(listed) for listed in self._dispatcher.settings.current.targets.models()]
        exchange.respond(200, JSON, _encode({"object": "list", "data": rows}))

    def model(self, exchange: Exchange) -> None:
        """One of them."""
        name = unquote(exchange.head.rest)
        for listed in self._dispatcher.settings.current.targets.models():
            if listed.id == name:
                exchange.respond(200, JSON, _encode(_row(listed)))
                return
        fault = Fault(
            status=404, code="model_not_found", message=f"there is no model {name[:200]!r}; GET /v1/models lists them"
        )
        exchange.respond(404, JSON, self._errors.error(fault))


def _ask(exchange: Exchange, chat: _Chat, claimed: Claims) -> RequestInfo:
    body, shape, key = exchange.body, chat.response_format, exchange.head.key
    needs = _NEEDS[
        bytes(chat.tools) not in _NOTHING or bytes(chat.functions) not in _NOTHING,
        # Told by its bytes: to find it in its place, every message would have to be parsed.
        b'"image_url"' in body,
        shape is not None and shape.type in ("json_object", "json_schema"),
    ]
    return RequestInfo(
        id=exchange.id,
        surface="openai",
        alias=chat.model or "",
        environment=claimed.environment,
        key=key.name if key is not None else "",
        agent=claimed.agent,
        tags=claimed.tags,
        relayed=key is not None and key.relay,
        stream=bool(chat.stream),
        needs=needs,
        prompt_tokens=len(body) // _BYTES_PER_TOKEN,
        max_tokens=chat.max_tokens if chat.max_completion_tokens is None else chat.max_completion_tokens,
    )


def _row(listed: ModelListing) -> dict[str, object]:
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
        },
    }
