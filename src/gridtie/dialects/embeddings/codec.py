"""Embeddings between dialects: texts in, vectors out, never streamed.

With equal dialects bytes pass; an Ollama is asked through its own `/api/embed` with `truncate: false` whoever asks, as
it otherwise cuts a text that does not fit and answers as if nothing had happened.
"""

from __future__ import annotations

import base64
from array import array
from typing import Any, Literal

import msgspec

from gridtie.dialects.conversation import needs_of
from gridtie.dialects.facts import Facts
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import form, kind
from gridtie.dialects.object import Object
from gridtie.dialects.ollama import errors as ollama_errors
from gridtie.dialects.openai_chat import errors as openai_errors
from gridtie.dialects.openai_chat.usage import estimate, plausible
from gridtie.dialects.types import (
    AnswerOptions,
    Codec,
    Dialect,
    Failed,
    Failure,
    RequestOptions,
    StreamDecoder,
    Untranslatable,
    UpstreamRequest,
    Usage,
    Whole,
)
from gridtie.dialects.values import MOST_VALUES

_Raw = msgspec.Raw
_NULL = _Raw(b"null")
_encode = msgspec.json.Encoder().encode
# What changes no vector.
_LABELS = frozenset(("user", "keep_alive", "truncate", "options"))

Form = Literal["openai", "ollama"]


class _Answer(msgspec.Struct):
    """Either's answer: of OpenAI's `data` and `usage`, of Ollama's `embeddings` and `prompt_eval_count`."""

    data: list[_Item] | None = None
    embeddings: list[_Raw] | None = None
    usage: dict[str, Any] | None = None
    prompt_eval_count: Any = None
    model: str = ""
    error: msgspec.Raw = _NULL


class _Item(msgspec.Struct):
    embedding: msgspec.Raw
    index: int = 0


_answer = msgspec.json.Decoder(_Answer).decode
# As numbers, or packed.
_VECTORS = ("a list", "a string")
_floats = msgspec.json.Decoder(list[float]).decode


class _Unstreamed:
    """What a codec of whole answers has no use for."""

    translates = False

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        raise NotImplementedError("vectors are not streamed")

    collect = stream


class Embeddings(_Unstreamed):
    """The `Codec` between one client's form and one target's."""

    def __init__(self, client: Dialect, target: Form) -> None:
        self._client = client
        self._target = target
        self._same = client == "openai-embeddings" and target == "openai"

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        path = "/embeddings" if self._target == "openai" else "/api/embed"
        fields = facts.fields.copy()
        fields["model"] = _Raw(_encode(model))
        if not self._same:
            fields = self._translated(fields)
        return UpstreamRequest(path=path, body=_encode(fields))

    def _translated(self, fields: dict[str, msgspec.Raw]) -> dict[str, Any]:
        body = Object(fields, "")
        found: dict[str, Any] = {"model": body.take("model")}
        found["input"] = body.take("prompt" if self._client == "ollama-embeddings" else "input")
        if (dimensions := body.whole("dimensions")) is not None:
            found["dimensions"] = dimensions
        body.string("encoding_format")
        if self._target == "ollama":
            found["truncate"] = False
            _refuse_tokens(found["input"])
        for name in body.rest():
            if name not in _LABELS:
                what = f"this model's server knows no request field {name[:160]!r}; leave it out"
                raise Untranslatable(what, needs=needs_of(name))
        return found

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        try:
            answer = _answer(body)
        except UNREADABLE:
            return _failed(f"the upstream sent {form(body)} instead of embeddings")
        if openai_errors.present(answer.error):
            return Whole(b"", failure=openai_errors.from_error(openai_errors.read(body)))
        if (count := len(answer.data or answer.embeddings or ())) > MOST_VALUES:
            return _failed(f"the upstream's answer holds {count} embeddings, and at most {MOST_VALUES} are read")
        vectors = _vectors(answer)
        if not vectors or any(kind(vector) not in _VECTORS for vector in vectors):
            return _failed("the upstream's answer holds no embeddings")
        usage = _usage(answer, prompt_estimate)
        if self._same:
            return Whole(body, usage)
        try:
            return Whole(self._told(answer.model, vectors, usage), usage)
        except UNREADABLE:
            return _failed("the upstream's answer holds an embedding that is no list of numbers")

    def _told(self, model: str, vectors: list[msgspec.Raw], usage: Usage) -> bytes:
        if self._client == "ollama-embeddings":
            return _encode({"embedding": vectors[0]})
        if self._client == "ollama-embed":
            told = {"model": model, "embeddings": vectors, "total_duration": 0, "load_duration": 0}
            return _encode(told | {"prompt_eval_count": usage.input})
        data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
        counts = {"prompt_tokens": usage.input, "total_tokens": usage.input}
        return _encode({"object": "list", "data": data, "model": model, "usage": counts})

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        classify = openai_errors.classify if self._target == "openai" else ollama_errors.classify
        failure = classify(status, headers, body)
        return failure if self._same or failure.body is None else msgspec.structs.replace(failure, body=None)


class InBase64(Embeddings):
    """For OpenAI's own SDK, which asks for vectors in base64, of a target that has them as numbers alone."""

    def _told(self, model: str, vectors: list[msgspec.Raw], usage: Usage) -> bytes:
        return super()._told(model, [_packed(vector) for vector in vectors], usage)


class NoEmbeddings(_Unstreamed):
    """The `Codec` for targets that have none."""

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        raise Untranslatable("this model's server makes no embeddings", needs="embeddings")

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        raise NotImplementedError("nothing is asked")

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        raise NotImplementedError("nothing is asked")


def _refuse_tokens(span: msgspec.Raw) -> None:
    """Ollama takes texts alone."""
    if bytes(span).lstrip(b"[ \t\r\n")[:1] != b'"':
        raise Untranslatable("this model's server takes texts, and the input holds tokens", needs="tokens")


def _vectors(answer: _Answer) -> list[msgspec.Raw]:
    if answer.data is not None:
        return [item.embedding for item in sorted(answer.data, key=lambda item: item.index)]
    return answer.embeddings or []


def _packed(vector: msgspec.Raw) -> msgspec.Raw:
    """As OpenAI packs one: 32-bit floats, the least byte first."""
    floats = array("f", _floats(vector))
    return _Raw(b'"' + base64.b64encode(floats.tobytes()) + b'"')


def _usage(answer: _Answer, prompt_estimate: int) -> Usage:
    reported = answer.usage.get("prompt_tokens") if answer.usage is not None else answer.prompt_eval_count
    count = plausible(reported)
    return Usage(input=count, output=0) if count else estimate(prompt_estimate, 0)


def _failed(message: str) -> Whole:
    return Whole(b"", failure=Failure(kind=Failed.BROKEN, message=message))


_CLIENTS: tuple[Dialect, ...] = ("openai-embeddings", "ollama-embed", "ollama-embeddings")

CODECS: dict[tuple[Dialect, Dialect], Codec] = {
    **{(client, "openai"): Embeddings(client, "openai") for client in _CLIENTS},
    **{(client, "ollama"): Embeddings(client, "ollama") for client in _CLIENTS},
    # For a target of OpenAI's dialect it is a field like any other.
    ("openai-embeddings-base64", "openai"): Embeddings("openai-embeddings", "openai"),
    ("openai-embeddings-base64", "ollama"): InBase64("openai-embeddings", "ollama"),
    **{(client, "anthropic"): NoEmbeddings() for client in (*_CLIENTS, "openai-embeddings-base64")},
}
