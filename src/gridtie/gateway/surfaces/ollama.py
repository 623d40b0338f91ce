"""Ollama's native surface: chats, texts, embeddings, and what there is. What would change the station is refused."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec
from msgspec.structs import replace

from gridtie.dialects.embeddings.facts import read_embed, read_embeddings
from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.ollama.facts import asks_for_nothing, read_chat, read_generate
from gridtie.dialects.types import InvalidRequest
from gridtie.gateway.dispatch import Dispatcher
from gridtie.gateway.error_format import OllamaErrorFormat
from gridtie.gateway.errors import Fault
from gridtie.gateway.exchange import Exchange
from gridtie.gateway.response import JSON, retry_fields
from gridtie.gateway.routes import Route
from gridtie.providers.registry import ModelListing

_encode = msgspec.json.Encoder().encode
# Clients parse a time and a size, and nobody knows either. The first is Go's zero time, which the `ollama` command
# shows as none; once the second has passed, a model is gone for it.
_NO_TIME = "0001-01-01T00:00:00Z"
_NO_END = "2318-01-01T00:00:00Z"
# The server whose interface this is, where the station's own engine is another: what clients compare with.
API_VERSION = "0.32.15"
_CAPABILITIES = {"chat": "completion", "tools": "tools", "vision": "vision", "embeddings": "embedding"}
_LATEST = ":latest"
_MANAGED = "models are the station's: `make site` brings those of gridtie_models; `gridtie models` says what is here"


class _Named(msgspec.Struct):
    model: str | None = None
    # The older name of the field, which aider sends alone.
    name: str | None = None


_named = msgspec.json.Decoder(_Named).decode


class Ollama:
    """`/api/*`."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._errors = OllamaErrorFormat()

    def routes(self) -> Iterable[Route]:
        """The paths it answers."""
        return (
            Route(path="/api/chat", post=self.chat),
            Route(path="/api/generate", post=self.generate),
            Route(path="/api/embed", post=self.embed),
            Route(path="/api/embeddings", post=self.embeddings),
            Route(path="/api/tags", get=self.tags),
            Route(path="/api/show", post=self.show),
            Route(path="/api/ps", get=self.ps),
            Route(path="/api/version", get=self.version),
            *(Route(path=f"/api/{name}", post=self.refuse) for name in ("pull", "create", "push", "copy")),
            Route(path="/api/delete", delete=self.refuse),
            Route(path="/api/blobs/", get=self.refuse, post=self.refuse),
        )

    def chat(self, exchange: Exchange) -> None:
        """Answer one chat."""
        self._answer(exchange, _chat)

    def generate(self, exchange: Exchange) -> None:
        """Answer one prompt."""
        self._answer(exchange, _generate)

    def embed(self, exchange: Exchange) -> None:
        """Answer with the vectors of texts."""
        self._dispatcher.serve(exchange, "ollama", _embed, self._errors)

    def embeddings(self, exchange: Exchange) -> None:
        """Answer with the vector of one text, as clients of long ago ask for it."""
        self._dispatcher.serve(exchange, "ollama", _embeddings, self._errors)

    def _answer(self, exchange: Exchange, read: Any) -> None:
        facts = _loads(exchange, read)
        if facts is not None and exchange.head.loaded.targets.named(facts.model) is not None:
            # The station loads its models itself.
            text: dict[str, Any] = {"response": ""} if read is _generate else {"message": _SAYS_NOTHING}
            told = {"model": facts.model, "created_at": _NO_TIME, **text, "done": True, "done_reason": "load"}
            exchange.respond(200, JSON, _encode(told))
            return
        self._dispatcher.serve(exchange, "ollama", read, self._errors)

    # -- What there is -------------------------------------------------------------------------------------------------

    def tags(self, exchange: Exchange) -> None:
        """Every name that a client may ask for."""
        models = [_row(exchange, listed) for listed in exchange.head.loaded.targets.models()]
        exchange.respond(200, JSON, _encode({"models": models}))

    def show(self, exchange: Exchange) -> None:
        """One of them: what it can do, and its context."""
        try:
            asked = _named(exchange.body)
        except UNREADABLE:
            self._fault(exchange, 400, "invalid_body", "wanted an object with the model's name under 'model'")
            return
        name = asked.model or asked.name or ""
        if (listed := exchange.head.loaded.targets.listing(_known(exchange, name))) is not None:
            exchange.respond(200, JSON, _encode(_shown(listed)))
            return
        self._fault(exchange, 404, "model_not_found", f"model {name[:200]!r} not found; GET /api/tags lists them")

    def ps(self, exchange: Exchange) -> None:
        """The models of this machine, which the station keeps loaded as it sees fit."""
        listed = exchange.head.loaded.targets.models()
        models = [_row(exchange, each) for each in listed if each.kind == "model"]
        exchange.respond(200, JSON, _encode({"models": models}))

    def version(self, exchange: Exchange) -> None:
        """The engine's, where it is Ollama."""
        station = exchange.head.loaded.station
        own = station.engine.version if station is not None and station.engine.kind == "ollama" else ""
        exchange.respond(200, JSON, _encode({"version": own or API_VERSION}))

    # -- What is refused -----------------------------------------------------------------------------------------------

    def refuse(self, exchange: Exchange) -> None:
        """What would change the station's models."""
        self._fault(exchange, 403, "models_are_managed", _MANAGED)

    def _fault(self, exchange: Exchange, status: int, code: str, message: str) -> None:
        fault = Fault(status=status, code=code, message=message)
        exchange.respond(status, JSON + retry_fields(fault), self._errors.error(fault))


_SAYS_NOTHING = {"role": "assistant", "content": ""}


def _chat(exchange: Exchange) -> Facts:
    return _by_its_name(exchange, read_chat(exchange.body))


def _generate(exchange: Exchange) -> Facts:
    return _by_its_name(exchange, read_generate(exchange.body))


def _embed(exchange: Exchange) -> Facts:
    return _by_its_name(exchange, read_embed(exchange.body))


def _embeddings(exchange: Exchange) -> Facts:
    return _by_its_name(exchange, read_embeddings(exchange.body))


def _by_its_name(exchange: Exchange, facts: Facts) -> Facts:
    known = _known(exchange, facts.model)
    return facts if known == facts.model else replace(facts, model=known)


def _known(exchange: Exchange, name: str) -> str:
    """A model's name as it is known here: Ollama's clients add its tag `:latest`, or leave it out. First what its key
    may ask for.
    """
    targets = exchange.head.loaded.targets
    bare = name.removesuffix(_LATEST)
    spellings = (name, bare, bare + _LATEST)
    found = (each for own in (targets, targets.everything) for each in spellings if own.named(each) is not None)
    return next(found, name)


def _loads(exchange: Exchange, read: Any) -> Facts | None:
    """The facts of a request that asks for nothing but a model to be loaded."""
    if len(exchange.body) > 1024:
        return None
    try:
        facts: Facts = read(exchange)
    except InvalidRequest:
        return None  # told by whoever reads it next
    return facts if asks_for_nothing(facts) else None


def _row(exchange: Exchange, listed: ModelListing) -> dict[str, object]:
    target = exchange.head.loaded.targets.named(listed.id)
    own = target.local[0].digest if target is not None and target.local else ""
    return {
        "name": listed.id,
        "model": listed.id,
        "modified_at": _NO_TIME,
        "expires_at": _NO_END,
        "size": 0,
        "size_vram": 0,
        # The CLI shows the first twelve characters of it.
        "digest": own.removeprefix("sha256:") or sha256(listed.id.encode()).hexdigest(),
        "details": _details(),
        "context_length": listed.context or 0,
    }


def _details() -> dict[str, object]:
    names = ("parent_model", "format", "family", "parameter_size", "quantization_level")
    return {**dict.fromkeys(names, ""), "families": None}


def _shown(listed: ModelListing) -> dict[str, object]:
    info: dict[str, object] = {"general.architecture": "gridtie"}
    if listed.context is not None:
        info["gridtie.context_length"] = listed.context
    capabilities = [word for name, word in _CAPABILITIES.items() if name in listed.capabilities]
    if "chat" in listed.capabilities and "embeddings" in listed.capabilities:
        # Of a cloud all is listed that its interface has, and the command `ollama` embeds whatever it is told it can.
        capabilities.remove("embedding")
    texts = dict.fromkeys(("license", "modelfile", "parameters", "template"), "")
    return {**texts, "details": _details(), "model_info": info, "capabilities": capabilities, "modified_at": _NO_TIME}
