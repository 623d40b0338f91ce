"""Errors of servers that speak OpenAI's dialect, in the shapes they really send."""

from __future__ import annotations

import json

import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import Dialect, Failed

CODEC = codec("openai", "openai")

LLAMA_CPP_CONTEXT = {
    "error": {
        "code": 400,
        "message": "request (9083 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9083,
        "n_ctx": 4096,
    }
}
OPENAI_CONTEXT = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens. However, your messages resulted in 9083"
        " tokens. Please reduce the length of the messages.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
}
VLLM_CONTEXT = {
    "error": {
        "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
        "type": "BadRequestError",
        "param": None,
        "code": 400,
    }
}


def error(message: str = "no", type: str = "invalid_request_error", code: object = None) -> dict[str, object]:
    return {"error": {"message": message, "type": type, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("'messages' is a required property"), Failed.INVALID),
        (400, LLAMA_CPP_CONTEXT, Failed.CONTEXT),
        (400, OPENAI_CONTEXT, Failed.CONTEXT),
        (400, VLLM_CONTEXT, Failed.CONTEXT),
        (500, VLLM_CONTEXT, Failed.CONTEXT),
        (422, VLLM_CONTEXT, Failed.CONTEXT),
        (413, VLLM_CONTEXT, Failed.CONTEXT),
        (502, error("prompt is too long: 215104 tokens > 200000 maximum", "api_error"), Failed.CONTEXT),
        (
            500,
            error("the request exceeds the available context size. try increasing it", "server_error", 500),
            Failed.CONTEXT,
        ),
        (429, error("This request exceeds the context that is left of your rate", "tokens"), Failed.BUSY),
        (400, error("Unsupported value: 'temperature'", code="unsupported_value"), Failed.CAPABILITY),
        (401, error("Incorrect API key provided", code="invalid_api_key"), Failed.AUTH),
        (404, error("The model `x` does not exist", code="model_not_found"), Failed.MODEL_MISSING),
        (429, error("Rate limit reached", type="tokens", code="rate_limit_exceeded"), Failed.BUSY),
        (429, error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), Failed.AUTH),
        (500, error("The server had an error", type="server_error"), Failed.BROKEN),
        (500, error("image input is not supported - hint: provide the mmproj", "server_error", 500), Failed.CAPABILITY),
        (501, error("This server does not support tools", "not_supported_error", 501), Failed.CAPABILITY),
        (400, error("m is not a multimodal model", "BadRequestError", 400), Failed.CAPABILITY),
        (400, error('tool_choice=function "w" requires --tool-call-parser to be set', "x", 400), Failed.CAPABILITY),
        (503, error("Loading model", "unavailable_error", 503), Failed.BUSY),
        (502, "<html>bad gateway</html>", Failed.BROKEN),
        (400, {"object": "error", "message": "bad", "code": 400}, Failed.INVALID),
        (400, {"error": "bad"}, Failed.INVALID),
    ],
)
def test_kind(status: int, body: object, kind: Failed) -> None:
    """A refusal is classified by what it says where it says more than its status."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    failure = CODEC.failure(status, {}, raw)

    assert (kind, status) == (failure.kind, failure.status)
    assert failure.message


@pytest.mark.parametrize(
    ("body", "counts"),
    [(LLAMA_CPP_CONTEXT, (9083, 4096)), (OPENAI_CONTEXT, (9083, 8192)), (VLLM_CONTEXT, (5000, 4096))],
)
def test_context_counts(body: object, counts: tuple[int, int]) -> None:
    """How many tokens there were and how many fit is carried on."""
    failure = CODEC.failure(400, {}, json.dumps(body).encode())

    assert counts == (failure.prompt_tokens, failure.context)


def test_the_clients_own_fault_comes_with_upstreams_body() -> None:
    """A mistake of the client is answered in upstream's own words."""
    raw = json.dumps(error("'messages' is a required property")).encode()

    assert raw == CODEC.failure(400, {}, raw).body


def test_a_body_about_credentials_is_not_passed_on() -> None:
    """Upstream quotes parts of the key it was given: that is nobody's business but the operator's."""
    failure = CODEC.failure(401, {}, json.dumps(error("Incorrect API key provided: sk-abc***")).encode())

    assert failure.body is None


def test_retry_after_is_carried_on() -> None:
    """The waiting time that upstream asks for reaches the breaker."""
    assert CODEC.failure(429, {b"retry-after": b"7"}, json.dumps(error()).encode()).retry_after == 7.0


PROMPT = "my SECRET prompt"
OPENROUTER = {
    "error": {
        "code": 403,
        "message": "mistral-small requires moderation. Your input was flagged.",
        "metadata": {"reasons": ["violence"], "flagged_input": PROMPT, "provider_name": "x"},
    }
}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, error("Your request was rejected by our safety system", code="content_policy_violation")),
        (400, error("The response was filtered", type="x", code="content_filter")),
        (400, {"error": {"code": None, "message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
        (403, error("blocked", code="moderation_blocked")),
        (403, OPENROUTER),
        (403, error("Content violates usage guidelines", type="x")),
    ],
)
def test_a_moderation_is_not_a_wrong_key(status: int, body: object) -> None:
    """One client's prompt pauses no target for everybody."""
    failure = CODEC.failure(status, {}, json.dumps(body).encode())

    assert failure.kind is Failed.POLICY
    assert PROMPT not in failure.message


@pytest.mark.parametrize("body", [error("You may not use this", type="permission_error"), error("no"), ""])
def test_a_403_that_says_nothing_of_moderation_is_about_the_key(body: object) -> None:
    """As before."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    assert CODEC.failure(403, {}, raw).kind is Failed.AUTH


def test_a_message_is_in_our_words() -> None:
    """Upstream's may quote the prompt: it is for the client alone, and so kept apart."""
    body = error(f"invalid prompt: {PROMPT}", code="invalid_value")
    failure = CODEC.failure(400, {}, json.dumps(body).encode())

    assert failure.message == "the upstream answered 400 (invalid_value, invalid_request_error)"
    assert failure.detail == f"invalid prompt: {PROMPT}"


@pytest.mark.parametrize("name", [f"{PROMPT}", "x" * 300, "a\nb", "sk-1 2"])
def test_a_name_that_is_none_is_not_repeated(name: str) -> None:
    """A code is a word; whatever else stands there may be anything."""
    failure = CODEC.failure(400, {}, json.dumps(error("no", type=name, code=name)).encode())

    assert failure.message == "the upstream answered 400"


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 199, 302, 420, 430, 444, 460, 498, 499, 599, 600, 999, 10**6])
@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"5", b"\xff", b"<html>", b'{"error":5}', b'{"error":[1]}', b'{"error":{"code":1.5}}',
        b'{"error":{"message":{"a":1},"type":5,"code":[]}}', b'{"error":true,"message":"no"}', b"[" * 100_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("dialect", ["openai", "ollama", "anthropic"])
def test_no_status_and_no_body_break_the_classification(dialect: Dialect, status: int, body: bytes) -> None:
    """Whatever an upstream answers, it is a failure of some kind."""
    failure = codec("openai", dialect).failure(status, {}, body)

    assert failure.message
    assert failure.kind is not Failed.INVALID or 400 <= status < 500


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_page_of_a_proxy_says_nothing_of_key_model_or_prompt(status: int) -> None:
    """The next target is asked, and nobody is told that his prompt offends."""
    page = b"<html><body>Blocked by your organisation's content policy</body></html>"

    failure = CODEC.failure(status, {}, page)

    assert failure.kind is Failed.BROKEN
    assert str(status) in failure.message


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([error("API key not valid. Please pass a valid API key.")], Failed.AUTH),
        (error("Your credit balance is too low to access the API."), Failed.AUTH),
        (error("the prompt says: API key not valid"), Failed.INVALID),
        (error("This model's maximum prompt length is 131072 but the request contains 140000 tokens."), Failed.CONTEXT),
    ],
)
def test_a_400_that_is_no_fault_of_the_request(body: object, kind: Failed) -> None:
    """Google, Anthropic and xAI use it for what another target may do."""
    assert CODEC.failure(400, {}, json.dumps(body).encode()).kind is kind
