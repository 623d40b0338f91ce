"""Anthropic's errors: `{"type": "error", "error": {"type", "message"}}`, as a body or inside a stream."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gridtie.dialects.failures import UNREADABLE, by_status, context_counts, retry_after, says_unsupported, shorten
from gridtie.dialects.types import Failed, Failure


class ErrorObject(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Envelope(msgspec.Struct):
    error: ErrorObject


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
}
_TOO_LONG = re.compile(r"prompt is too long|exceeds? (the )?context", re.IGNORECASE)
# An invalid_request_error by type, but nothing that the client could mend.
_NO_CREDIT = re.compile(r"credit balance is too low", re.IGNORECASE)

_envelope = msgspec.json.Decoder(_Envelope)


def classify(status: int, headers: Mapping[bytes, bytes], body: bytes) -> Failure:
    """A non-2xx answer. Its body is in Anthropic's dialect, so it is not the client's to read."""
    try:
        error = _envelope.decode(body).error
    except UNREADABLE:
        error = ErrorObject(message=body[:300].decode("utf-8", "replace"))
    return from_error(error, status, retry_after(headers))


def from_error(error: ErrorObject, status: int | None = None, wait: float | None = None) -> Failure:
    """An error object; inside a stream it is all there is to go by."""
    message = shorten(error.message) or f"Anthropic sent {error.type or 'an error'} without a message"
    kind = _kind(error.type, message, status)
    prompt_tokens, context = (kind is Failed.CONTEXT and context_counts(message)) or (None, None)
    return Failure(
        kind=kind, message=message, status=status, retry_after=wait, prompt_tokens=prompt_tokens, context=context
    )


def _kind(type: str, message: str, status: int | None) -> Failed:
    if kind := _BY_TYPE.get(type):
        return kind
    kind = by_status(status) if status is not None else Failed.BROKEN
    if type == "invalid_request_error":
        kind = Failed.INVALID
    if kind is not Failed.INVALID:
        return kind
    if _TOO_LONG.search(message):
        return Failed.CONTEXT
    if _NO_CREDIT.search(message):
        return Failed.AUTH
    return Failed.CAPABILITY if says_unsupported(message) else Failed.INVALID
