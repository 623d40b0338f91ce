"""Anthropic's errors, in the shapes that its API reference documents."""

from __future__ import annotations

import json

import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import Failed

CODEC = codec("openai", "anthropic")


@pytest.mark.parametrize(
    ("status", "type", "message", "kind"),
    [
        (400, "invalid_request_error", "max_tokens: Field required", Failed.INVALID),
        (400, "invalid_request_error", "prompt is too long: 215104 tokens > 200000 maximum", Failed.CONTEXT),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", Failed.AUTH),
        (400, "invalid_request_error", "This model does not support image input.", Failed.CAPABILITY),
        (401, "authentication_error", "invalid x-api-key", Failed.AUTH),
        (402, "billing_error", "There is an issue with your billing.", Failed.AUTH),
        (403, "permission_error", "no access", Failed.AUTH),
        (404, "not_found_error", "model: claude-9", Failed.MODEL_MISSING),
        (413, "request_too_large", "Request exceeds the maximum size", Failed.CONTEXT),
        (429, "rate_limit_error", "This request would exceed your rate limit", Failed.BUSY),
        (500, "api_error", "Internal server error", Failed.BROKEN),
        (500, "api_error", "prompt is too long: 215104 tokens > 200000 maximum", Failed.CONTEXT),
        (422, "", "input length and max_tokens exceed context limit: 199000 + 8192 > 200000", Failed.CONTEXT),
        (529, "overloaded_error", "prompt is too long", Failed.BUSY),
        (504, "timeout_error", "Request timed out", Failed.TIMEOUT),
        (529, "overloaded_error", "Overloaded", Failed.BUSY),
        (418, "teapot_error", "short and stout", Failed.INVALID),
        (502, "", "", Failed.BROKEN),
    ],
)
def test_kind(status: int, type: str, message: str, kind: Failed) -> None:
    """An error is classified by its type, and by its words only where the type says nothing."""
    body = {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_1"}

    failure = CODEC.failure(status, {b"retry-after": b"3"}, json.dumps(body).encode())

    assert (failure.kind, failure.status, failure.retry_after) == (kind, status, 3.0)
    assert failure.body is None
    assert failure.message


def test_context_counts() -> None:
    """How long the prompt was and how much fits is carried on."""
    body = {"error": {"type": "invalid_request_error", "message": "prompt is too long: 215104 tokens > 200000 maximum"}}
    failure = CODEC.failure(400, {}, json.dumps(body).encode())

    assert (failure.prompt_tokens, failure.context) == (215104, 200000)


def test_a_body_that_is_no_json() -> None:
    """A proxy's page in between is still told by its status."""
    assert CODEC.failure(503, {}, b"<html>busy</html>").kind is Failed.BUSY
