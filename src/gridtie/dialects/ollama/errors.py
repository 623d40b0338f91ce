"""Ollama's refusals: `{"error": "text"}`, where the text may hold the JSON that its llama-server answered."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gridtie.dialects.openai_chat import errors as openai_errors
from gridtie.dialects.failures import UNREADABLE, by_status, retry_after, says_unsupported, shorten
from gridtie.dialects.types import Failed, Failure

# Text that Ollama's server writes itself (server/routes.go, server/sched.go at v0.32.15).
_MODEL_MISSING = re.compile(r"model .*not found|try pulling it first", re.IGNORECASE)
_BUSY = re.compile(r"server busy|maximum pending requests", re.IGNORECASE)


class _Envelope(msgspec.Struct):
    error: str = ""


_envelope = msgspec.json.Decoder(_Envelope)


def classify(status: int, headers: Mapping[bytes, bytes], body: bytes) -> Failure:
    """A non-2xx answer."""
    try:
        text = _envelope.decode(body).error
    except UNREADABLE:
        text = body[:300].decode("utf-8", "replace")
    return from_text(text, status, retry_after(headers))


def from_text(text: str, status: int | None = None, wait: float | None = None) -> Failure:
    """The text of an error, also of one inside a stream, where there is no status."""
    inner = _inner_error(text)
    if inner is not None:
        failure = openai_errors.from_error(inner, status, wait)
        if failure.kind is not Failed.INVALID:
            return failure
        text = inner.message or text
    message = shorten(text) or f"Ollama refused with status {status} and no message"
    return Failure(kind=_kind(message, status), message=message, status=status, retry_after=wait)


def _inner_error(text: str) -> openai_errors.ErrorObject | None:
    """llama-server's own error object inside the text, with its exact token counts."""
    start = text.find('{"error"')
    if start < 0:
        return None
    # More text may follow the object (the server's last log line), so it is not decoded to the end of the text.
    end = text.rfind("}") + 1
    error = openai_errors.read(text[start:end].encode())
    return error if error.type is not None else None


def _kind(message: str, status: int | None) -> Failed:
    if _MODEL_MISSING.search(message):
        return Failed.MODEL_MISSING
    if _BUSY.search(message):
        return Failed.BUSY
    if says_unsupported(message):
        return Failed.CAPABILITY
    return Failed.BROKEN if status is None else by_status(status)
