"""How failures look to clients."""

from __future__ import annotations

import json

import pytest

from gridtie.dialects.types import Failed, Failure
from gridtie.gateway.error_format import OllamaErrorFormat, ResponsesErrorFormat
from gridtie.gateway.errors import Fault, from_failure, from_refusal
from gridtie.gateway.response import retry_fields
from gridtie.routing.plan import Refusal


@pytest.mark.parametrize(
    ("failure", "status", "code", "type"),
    [
        (Failure(kind=Failed.UNREACHABLE, message="m"), 502, "upstream_unreachable", "server_error"),
        (Failure(kind=Failed.TIMEOUT, message="m"), 504, "upstream_timeout", "server_error"),
        (Failure(kind=Failed.BROKEN, message="m", status=500), 502, "upstream_broken", "server_error"),
        (Failure(kind=Failed.BUSY, message="m", status=429), 429, "busy", "rate_limit_error"),
        (Failure(kind=Failed.BUSY, message="m", status=529), 503, "busy", "server_error"),
        (Failure(kind=Failed.AUTH, message="m", status=401), 502, "upstream_refused_key", "server_error"),
        (Failure(kind=Failed.MODEL_MISSING, message="m", status=404), 502, "upstream_model_missing", "server_error"),
        (Failure(kind=Failed.CONTEXT, message="m"), 400, "context_length_exceeded", "invalid_request_error"),
        (Failure(kind=Failed.POLICY, message="m", status=403), 400, "content_policy", "invalid_request_error"),
        (Failure(kind=Failed.CAPABILITY, message="m"), 400, "capability_missing", "invalid_request_error"),
        (Failure(kind=Failed.INVALID, message="m", status=422), 422, "invalid_request", "invalid_request_error"),
        (Failure(kind=Failed.INVALID, message="m"), 400, "invalid_request", "invalid_request_error"),
    ],
)
def test_every_kind_has_its_status_code_and_type(failure: Failure, status: int, code: str, type: str) -> None:
    fault = from_failure(failure)

    assert (fault.status, fault.code, fault.type, fault.source) == (status, code, type, "upstream")


@pytest.mark.parametrize("kind", list(Failed))
def test_what_the_router_says_itself_is_its_own(kind: Failed) -> None:
    assert from_failure(Failure(kind=kind, message="m", ours=True)).source == "gridtie"


def test_every_kind_of_failure_is_known() -> None:
    assert all(isinstance(from_failure(Failure(kind=kind, message="m")), Fault) for kind in Failed)


@pytest.mark.parametrize(("wait", "told"), [(0.2, 1), (7.0, 7), (7.1, 8), (None, 2)])
def test_what_passes_by_itself_says_when_to_come_back(wait: float | None, told: int) -> None:
    assert from_failure(Failure(kind=Failed.BUSY, message="m", retry_after=wait)).retry_after == told


def test_a_context_that_is_too_small_is_told_in_tokens() -> None:
    failure = Failure(kind=Failed.CONTEXT, message="too long", prompt_tokens=9000, context=8192)

    assert "8192 tokens" in from_failure(failure).message
    assert "9000" in from_failure(failure).message


@pytest.mark.parametrize("kind", [Failed.UNREACHABLE, Failed.TIMEOUT, Failed.BROKEN])
def test_what_may_be_gone_the_next_time_is_left_to_the_client(kind: Failed) -> None:
    assert retry_fields(from_failure(Failure(kind=kind, message="m"))) == b""


@pytest.mark.parametrize(
    "kind", [Failed.AUTH, Failed.MODEL_MISSING, Failed.CAPABILITY, Failed.CONTEXT, Failed.INVALID, Failed.POLICY]
)
def test_what_does_not_pass_by_itself_says_so(kind: Failed) -> None:
    fields = retry_fields(from_failure(Failure(kind=kind, message="m", retry_after=5.0)))

    assert fields == b"x-should-retry: false\r\n"


def test_a_refusal_says_when_it_has_passed_or_that_it_does_not() -> None:
    passing = from_refusal(Refusal(status=503, code="busy", message="", retry_after=3))
    lasting = from_refusal(Refusal(status=503, code="no_target", message=""))

    assert retry_fields(passing) == b"retry-after: 3\r\n"
    assert retry_fields(lasting) == b"x-should-retry: false\r\n"


def test_the_client_reads_what_upstream_said() -> None:
    failure = Failure(
        kind=Failed.INVALID, message="HTTP 400 (bad_role)", detail="role must be one of: user", status=400
    )

    assert from_failure(failure).message == "role must be one of: user"


def test_a_response_that_breaks_off_tells_sdks_and_codex() -> None:
    """SDKs raise at an event with `error` in it; Codex looks at `response.failed` alone, and would say no reason."""
    fault = Fault(status=400, code="context_length_exceeded", message="it is too long")

    events = ResponsesErrorFormat().error_event(fault).decode().split("\n\n")[:-1]

    error, failed = (json.loads(event.partition("data: ")[2]) for event in events)
    assert [event.partition("\n")[0] for event in events] == ["event: error", "event: response.failed"]
    assert (error["type"], error["error"]["message"], error["code"]) == (
        *("error", "it is too long", "context_length_exceeded"),
    )
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "context_length_exceeded", "message": "it is too long"}


def test_the_ollama_command_shows_why_a_key_is_refused() -> None:
    """Of a 401 it reads `status`, and of everything else `error`; without it, it speaks of a server's log."""
    refused, other = (Fault(status=status, code="c", message="m") for status in (401, 403))

    assert json.loads(OllamaErrorFormat().error(refused)) == {"error": "m", "status": "m"}
    assert json.loads(OllamaErrorFormat().error(other)) == {"error": "m"}
