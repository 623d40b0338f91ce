"""Errors of servers that speak OpenAI's dialect: OpenAI, vLLM, llama.cpp's server, proxies before them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from gridtie.dialects.failures import (
    UNREADABLE,
    by_status,
    context_counts,
    describe,
    names_policy,
    retry_after,
    says_policy,
    says_too_long,
    says_unsupported,
    shorten,
)
from gridtie.dialects.found import form
from gridtie.dialects.surrogates import mended
from gridtie.dialects.types import Failed, Failure

_NO_ERROR = msgspec.Raw(b"null")


class ErrorObject(msgspec.Struct):
    """What stands under `error`. `code` is a name at OpenAI and an HTTP status at llama.cpp and vLLM."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    # llama.cpp, with type exceed_context_size_error.
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None
    # Azure's names of what was refused (`code`), OpenRouter's reasons of a moderation (`reasons`, `flagged_input`).
    innererror: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None

    def names(self) -> Iterator[object]:
        """Its codes and types, the narrower first."""
        yield self.code
        yield self.type
        if self.innererror:
            yield self.innererror.get("code")


class _Envelope(msgspec.Struct):
    error: msgspec.Raw = _NO_ERROR
    # vLLM before 0.10 answered without an envelope.
    message: Any = None
    detail: Any = None


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

_envelope = msgspec.json.Decoder(_Envelope).decode
_envelopes = msgspec.json.Decoder(list[_Envelope]).decode
_object = msgspec.json.Decoder(ErrorObject).decode
_any = msgspec.json.Decoder().decode
# Google's "API key not valid" and hosts' "no credit" come with a 400; from the start, since a text may quote a prompt.
_ACCOUNT_TEXT = re.compile(
    r"api key (is )?(not valid|invalid|expired)|(your )?credit balance is too low|insufficient (credit|balance)",
    re.IGNORECASE,
)
_A_PAGE_SAYS_NOTHING = frozenset((Failed.AUTH, Failed.MODEL_MISSING, Failed.INVALID))


def classify(status: int, headers: Mapping[bytes, bytes], body: bytes) -> Failure:
    """A non-2xx answer. Its body is kept where it explains the client's own fault, and nowhere else."""
    if by_status(status) in _A_PAGE_SAYS_NOTHING and body.lstrip()[:1] == b"<":
        # A proxy's own page: neither a key nor a model nor a prompt was looked at by a model's server.
        message = f"the upstream answered {status} with {form(body)}, as proxies do; check its base_url and the proxy"
        return Failure(kind=Failed.BROKEN, message=message, status=status)
    error = read(body)
    failure = from_error(error, status, retry_after(headers))
    if failure.kind is Failed.INVALID and error.type is not None:
        return msgspec.structs.replace(failure, body=body)
    return failure


def from_error(error: ErrorObject, status: int | None = None, wait: float | None = None) -> Failure:
    """An error object from a body or from inside a stream, where it is all there is to go by."""
    if status is None and isinstance(error.code, int) and 400 <= error.code < 600:
        status = error.code
    text = shorten(error.message or "")
    counts = context_counts(text)
    if error.n_prompt_tokens is not None and error.n_ctx is not None:
        counts = (error.n_prompt_tokens, error.n_ctx)
    kind = _kind(error, status, text)
    if kind is not Failed.CONTEXT:
        counts = None
    prompt_tokens, context = counts or (None, None)
    return Failure(
        kind=kind,
        message=describe(status, error.names(), counts),
        # Messages about a key quote parts of it: those are the operator's alone, and he has the status.
        detail="" if kind is Failed.AUTH else text,
        status=status,
        retry_after=wait,
        prompt_tokens=prompt_tokens,
        context=context,
    )


def present(error: msgspec.Raw) -> bool:
    """Whether a field `error` reports one: `null`, `false`, `""`, `{}` and an object of such values do not."""
    if error == _NO_ERROR:
        return False
    try:
        found = _any(error)
    except UNREADABLE:
        return True
    return any(found.values()) if isinstance(found, dict) else bool(found)


def read(body: bytes | msgspec.Raw) -> ErrorObject:
    """The error object of a body; of one that is not JSON (a proxy's HTML page) its text as the message."""
    try:
        envelope = _envelope(body) if bytes(body).lstrip()[:1] != b"[" else _first(body)
    except UNREADABLE as error:
        with suppress(*UNREADABLE):
            return read(mended(bytes(body), error))
        return ErrorObject(message=bytes(body)[:300].decode("utf-8", "replace"))
    if not present(envelope.error):
        return ErrorObject(message=_string(envelope.message) or _string(envelope.detail))
    try:
        return _object(envelope.error)
    except UNREADABLE:
        pass
    try:
        return _odd(_any(envelope.error), envelope)
    except UNREADABLE:  # JSON whose text is no UTF-8
        return ErrorObject(message=bytes(body)[:300].decode("utf-8", "replace"))


def _first(body: bytes | msgspec.Raw) -> _Envelope:
    """Google's, which stands in a list. Raises `UNREADABLE`."""
    envelopes = _envelopes(body)
    return envelopes[0] if envelopes else _Envelope()


def read_present(body: bytes) -> ErrorObject | None:
    """The error of a body that holds one. Raises `UNREADABLE`."""
    return read(body) if present(_envelope(body).error) else None


def _odd(error: Any, envelope: _Envelope) -> ErrorObject:
    """An error of another shape: text (Ollama, some proxies), a flag beside a message, fields of odd types."""
    if not isinstance(error, dict):
        return ErrorObject(message=_string(error) or _string(envelope.message) or _string(envelope.detail))
    code = error.get("code")
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    return ErrorObject(
        message=_string(error.get("message")),
        type=_string(error.get("type")),
        code=code if isinstance(code, str | int) else None,
    )


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _kind(error: ErrorObject, status: int | None, text: str) -> Failed:
    if names_policy(error.names()) or _moderated(error):
        return Failed.POLICY
    for name in (error.code, error.type):
        if isinstance(name, str) and (kind := _BY_NAME.get(name)):
            return kind
    if says_policy(status, text):
        return Failed.POLICY
    kind = Failed.BROKEN if status is None else by_status(status)
    refused = kind is Failed.INVALID or status == 500  # llama.cpp answers 500 to an image it cannot read
    if refused and says_unsupported(text):
        return Failed.CAPABILITY
    if kind is Failed.INVALID and _ACCOUNT_TEXT.match(text):
        return Failed.AUTH
    return Failed.CONTEXT if says_too_long(kind, text) else kind


def _moderated(error: ErrorObject) -> bool:
    """OpenRouter's 403 of a moderated prompt says so beside the message."""
    return error.metadata is not None and ("flagged_input" in error.metadata or bool(error.metadata.get("reasons")))
