"""Anthropic's errors: `{"type": "error", "error": {"type", "message"}}`, as a body or inside a stream."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gridtie.dialects.failures import (
    by_status,
    context_counts,
    describe,
    retry_after,
    says_too_long,
    says_unsupported,
    shorten,
)
from gridtie.dialects.openai_chat.errors import ErrorObject, present, read
from gridtie.dialects.types import Failed, Failure

__all__ = ["classify", "from_field", "is_own", "present"]

_BY_TYPE = {
    "authentication_error": Failed.AUTH,
    "billing_error": Failed.AUTH,
    "permission_error": Failed.AUTH,
    "not_found_error": Failed.MODEL_MISSING,
    "request_too_large": Failed.CONTEXT,
    "rate_limit_error": Failed.BUSY,
    "overloaded_error": Failed.BUSY,
    "timeout_error": Failed.TIMEOUT,
    "gateway_timeout_error": Failed.TIMEOUT,
    "api_error": Failed.BROKEN,
    "invalid_request_error": Failed.INVALID,
}
# An invalid_request_error by type, but nothing that the client could mend.
_NO_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)


def classify(status: int, headers: Mapping[bytes, bytes], body: bytes) -> Failure:
    """A non-2xx answer. Its body is in Anthropic's dialect, so it is not the client's to read."""
    return _from_error(read(body), status, retry_after(headers))


def is_own(body: bytes) -> bool:
    """Whether a body is an error as Anthropic's clients read it."""
    return read(body).type is not None


def from_field(error: msgspec.Raw) -> Failure:
    """The field `error` of an event; inside a stream it is all there is to go by."""
    return _from_error(read(b'{"error":' + bytes(error) + b"}"))


def _from_error(error: ErrorObject, status: int | None = None, wait: float | None = None) -> Failure:
    text = shorten(error.message or "")
    kind = _kind(error.type or "", text, status)
    counts = context_counts(text) if kind is Failed.CONTEXT else None
    prompt_tokens, context = counts or (None, None)
    return Failure(
        kind=kind,
        message=describe(status, (error.type,), counts, who="Anthropic"),
        detail="" if kind is Failed.AUTH else text,
        status=status,
        retry_after=wait,
        prompt_tokens=prompt_tokens,
        context=context,
    )


def _kind(type: str, text: str, status: int | None) -> Failed:
    kind = _BY_TYPE.get(type) or (by_status(status) if status is not None else Failed.BROKEN)
    if says_too_long(kind, text):
        return Failed.CONTEXT
    if kind is not Failed.INVALID:
        return kind
    if _NO_CREDIT.search(text):
        return Failed.AUTH
    return Failed.CAPABILITY if says_unsupported(text) else Failed.INVALID
