"""Errors of servers that speak OpenAI's dialect: OpenAI, vLLM, llama.cpp's server, proxies before them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gridtie.dialects.failures import UNREADABLE, by_status, context_counts, retry_after, says_unsupported, shorten
from gridtie.dialects.types import Failed, Failure


class ErrorObject(msgspec.Struct):
    """What stands under `error`. `code` is a name at OpenAI and an HTTP status at llama.cpp and vLLM."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None
    # llama.cpp, with type exceed_context_size_error.
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _Envelope(msgspec.Struct):
    # A string at Ollama, on its OpenAI paths too, and at some proxies.
    error: ErrorObject | str | None = None
    # vLLM before 0.10 answered without an envelope.
    message: str | None = None
    detail: str | None = None


# Codes and types whose meaning is narrower than the status they come with.
_BY_NAME = {
    "context_length_exceeded": Failed.CONTEXT,
    "exceed_context_size_error": Failed.CONTEXT,
    "string_above_max_length": Failed.CONTEXT,
    "model_not_found": Failed.MODEL_MISSING,
    "invalid_api_key": Failed.AUTH,
    "authentication_error": Failed.AUTH,
    "permission_error": Failed.AUTH,
    # 429 at OpenAI, but no waiting helps: the account has no credit.
    "insufficient_quota": Failed.AUTH,
    "billing_hard_limit_reached": Failed.AUTH,
    "billing_not_active": Failed.AUTH,
    "rate_limit_exceeded": Failed.BUSY,
    "rate_limit_error": Failed.BUSY,
    "unavailable_error": Failed.BUSY,  # llama.cpp: loading the model
    "overloaded_error": Failed.BUSY,
    "unsupported_parameter": Failed.CAPABILITY,
    "unsupported_value": Failed.CAPABILITY,
    "not_supported_error": Failed.CAPABILITY,
}

_envelope = msgspec.json.Decoder(_Envelope)
_CONTEXT_TEXT = re.compile(r"context (size|length|window)", re.IGNORECASE)


def classify(status: int, headers: Mapping[bytes, bytes], body: bytes) -> Failure:
    """A non-2xx answer. Its body is kept where it explains the client's own fault, and nowhere else."""
    error = read(body)
    failure = from_error(error, status, retry_after(headers))
    if failure.kind is Failed.INVALID and error.type is not None:
        return msgspec.structs.replace(failure, body=body)
    return failure


def from_error(error: ErrorObject, status: int | None = None, wait: float | None = None) -> Failure:
    """An error object from a body or from inside a stream, where it is all there is to go by."""
    if status is None and isinstance(error.code, int) and 400 <= error.code < 600:
        status = error.code
    message = shorten(error.message or "") or _without_message(status)
    counts = context_counts(message)
    if error.n_prompt_tokens is not None and error.n_ctx is not None:
        counts = (error.n_prompt_tokens, error.n_ctx)
    kind = _kind(error, status, message)
    if kind is not Failed.CONTEXT or counts is None:
        return Failure(kind=kind, message=message, status=status, retry_after=wait)
    prompt_tokens, context = counts
    return Failure(kind=kind, message=message, status=status, prompt_tokens=prompt_tokens, context=context)


def read(body: bytes) -> ErrorObject:
    """The error object of a body; of one that is not JSON (a proxy's HTML page) its text as the message."""
    try:
        envelope = _envelope.decode(body)
    except UNREADABLE:
        return ErrorObject(message=body[:300].decode("utf-8", "replace"))
    if isinstance(envelope.error, ErrorObject):
        return envelope.error
    return ErrorObject(message=envelope.error or envelope.message or envelope.detail)


def _kind(error: ErrorObject, status: int | None, message: str) -> Failed:
    for name in (error.code, error.type):
        if isinstance(name, str) and (kind := _BY_NAME.get(name)):
            return kind
    kind = Failed.BROKEN if status is None else by_status(status)
    refused = kind is Failed.INVALID or status == 500  # llama.cpp answers 500 to an image it cannot read
    if refused and says_unsupported(message):
        return Failed.CAPABILITY
    if kind is Failed.INVALID and context_counts(message) and _CONTEXT_TEXT.search(message):
        return Failed.CONTEXT
    return kind


def _without_message(status: int | None) -> str:
    return "the upstream sent an error without a message" + (f" (status {status})" if status else "")
