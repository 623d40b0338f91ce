"""Ollama's refusals: `{"error": "text"}`, where the text may hold the JSON that its llama-server answered."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from gridtie.dialects.failures import by_status, describe, retry_after, says_too_long, says_unsupported, shorten
from gridtie.dialects.openai_chat import errors as openai_errors
from gridtie.dialects.types import Failed, Failure

# Text that Ollama's server writes itself (server/routes.go, server/sched.go at v0.32.15).
_MODEL_MISSING = re.compile(r"model .*not found|try pulling it first", re.IGNORECASE)
_BUSY = re.compile(r"server busy|maximum pending requests", re.IGNORECASE)


def classify(status: int, headers: Mapping[bytes, bytes], body: bytes) -> Failure:
    """A non-2xx answer."""
    return _from_object(openai_errors.read(body), status, retry_after(headers))


def from_field(error: msgspec.Raw) -> Failure | None:
    """The field `error` of a line, where it reports one."""
    if not openai_errors.present(error):
        return None
    return _from_object(openai_errors.read(b'{"error":' + bytes(error) + b"}"))


def from_text(text: str, status: int | None = None, wait: float | None = None) -> Failure:
    """The text of an error, also of one inside a stream, where there is no status."""
    inner = _inner_error(text)
    if inner is not None:
        failure = openai_errors.from_error(inner, status, wait)
        if failure.kind is not Failed.INVALID:
            return failure
        text = inner.message or text
    said = shorten(text)
    return Failure(
        kind=_kind(said, status),
        message=describe(status, inner.names() if inner else (), who="Ollama"),
        detail=said,
        status=status,
        retry_after=wait,
    )


def _from_object(error: openai_errors.ErrorObject, status: int | None = None, wait: float | None = None) -> Failure:
    if error.type is not None or error.code is not None:
        return openai_errors.from_error(error, status, wait)
    return from_text(error.message or "", status, wait)


def _inner_error(text: str) -> openai_errors.ErrorObject | None:
    """llama-server's own error object inside the text, with its exact token counts."""
    start = text.find('{"error"')
    if start < 0:
        return None
    # More text may follow the object (the server's last log line), so it is not decoded to the end of the text.
    end = text.rfind("}") + 1
    error = openai_errors.read(text[start:end].encode("utf-8", "replace"))
    return error if error.type is not None else None


def _kind(said: str, status: int | None) -> Failed:
    if _MODEL_MISSING.search(said):
        return Failed.MODEL_MISSING
    if _BUSY.search(said):
        return Failed.BUSY
    if says_unsupported(said):
        return Failed.CAPABILITY
    kind = Failed.BROKEN if status is None else by_status(status)
    return Failed.CONTEXT if says_too_long(kind, said) else kind
