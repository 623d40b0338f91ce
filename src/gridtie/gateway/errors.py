"""What a client is told when there is no answer: status, code, type, message, and whose fault it is."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from gridtie.dialects.types import Failed, Failure
from gridtie.routing.breaker import LONGEST_RETRY_AFTER
from gridtie.routing.plan import Refusal
from gridtie.routing.refusals import RETRY_SOON

Source = Literal["gridtie", "upstream"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One error, in no dialect yet."""

    status: int
    code: str
    message: str
    source: Source = "gridtie"
    # Seconds.
    retry_after: int | None = None
    # Whether it may pass by itself.
    passes: bool = False
    # Upstream's own error, where it is in the client's dialect and meant for the client.
    body: bytes | None = None

    @property
    def type(self) -> str:
        """OpenAI's word for this kind of error; its SDKs choose their exception by the status."""
        return _TYPES.get(self.status) or ("invalid_request_error" if self.status < 500 else "server_error")


_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

# How a failure upstream looks from outside: 502 and 504 say that it was not us, 400 that another request may do.
_BY_KIND = {
    Failed.UNREACHABLE: (502, "upstream_unreachable"),
    Failed.TIMEOUT: (504, "upstream_timeout"),
    Failed.BROKEN: (502, "upstream_broken"),
    # Our key, not the client's: a 401 would send people looking in the wrong place.
    Failed.AUTH: (502, "upstream_refused_key"),
    Failed.MODEL_MISSING: (502, "upstream_model_missing"),
    Failed.CONTEXT: (400, "context_length_exceeded"),
    Failed.CAPABILITY: (400, "capability_missing"),
    Failed.POLICY: (400, "content_policy"),
}
# What may be gone when it is tried again.
_PASSING = frozenset({Failed.UNREACHABLE, Failed.TIMEOUT, Failed.BROKEN})


def from_refusal(refusal: Refusal) -> Fault:
    """A decision not to try anything."""
    wait = refusal.retry_after
    return Fault(
        status=refusal.status, code=refusal.code, message=refusal.message, retry_after=wait, passes=wait is not None
    )


def from_failure(failure: Failure) -> Fault:
    """The failure that ended a request."""
    wait = None if failure.retry_after is None else max(1, math.ceil(min(failure.retry_after, LONGEST_RETRY_AFTER)))
    message = _message(failure)
    source: Source = "gridtie" if failure.ours else "upstream"
    if failure.kind is Failed.BUSY:
        status = 429 if failure.status == 429 else 503
        return Fault(
            status=status,
            code="busy",
            message=message,
            source=source,
            retry_after=wait or RETRY_SOON,
            passes=True,
        )
    if failure.kind is Failed.INVALID:
        status = failure.status if failure.status is not None and 400 <= failure.status < 500 else 400
        return Fault(status=status, code="invalid_request", message=message, source=source, body=failure.body)
    status, code = _BY_KIND[failure.kind]
    passes = failure.kind in _PASSING
    return Fault(
        status=status,
        code=code,
        message=message,
        source=source,
        retry_after=wait if passes else None,
        passes=passes,
        body=failure.body if failure.kind is Failed.POLICY else None,
    )


def _message(failure: Failure) -> str:
    """What upstream said, for the client of this request alone; what is stored and logged is `failure.message`."""
    said = failure.detail or failure.message
    if failure.kind is not Failed.CONTEXT:
        return said
    advice = f"; {failure.advice}" if failure.advice else ""
    if failure.context is None:
        return said + advice
    tokens = "" if failure.prompt_tokens is None else f" and the prompt has {failure.prompt_tokens}"
    return f"{said} (the model's context is {failure.context} tokens{tokens}; nothing was cut){advice}"
