"""The streaming client against scripted answers on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gridtie.agents import client as module
from gridtie.agents.client import Client, Question, Reply, RequestFailed
from gridtie.agents.endpoint import Endpoint
from gridtie.agents.schema import BOOLEAN, Schema, record

Handler = Callable[[httpx.Request], httpx.Response]
USAGE = {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}


def _chunk(content: str | None = None, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": content} if content else {}, "finish_reason": finish}]}


def _stream(*events: dict[str, Any], headers: dict[str, str] | None = None, done: bool = True) -> httpx.Response:
    lines = [": waiting\n\n", *(f"data: {json.dumps(event)}\n\n" for event in events)]
    body = "".join(lines) + ("data: [DONE]\n\n" if done else "")
    return httpx.Response(200, text=body, headers={"content-type": "text/event-stream", **(headers or {})})


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[Handler], Client]:
    """A client whose network is a function."""
    monkeypatch.setattr(module, "_RECORD_WAIT_SECONDS", 0.0)
    monkeypatch.setattr(module, "_BUSY_WAIT_SECONDS", 0.0)

    def make(handler: Handler) -> Client:
        client = Client(Endpoint("http://127.0.0.1:1/v1", "gt-key"), "coder", "test")
        headers = client._http.headers
        client._http.close()
        client._http = httpx.Client(transport=httpx.MockTransport(handler), headers=headers)
        return client

    return make


def _ask(client: Client, schema: Schema | None = None, **more: Any) -> Reply:
    return client.ask(Question("planner", [{"role": "user", "content": "q"}], 0.2, 5, 9, schema), **more)


def test_a_stream_becomes_a_reply_with_its_usage(connect: Callable[[Handler], Client]) -> None:
    """Text is handed on piece by piece; comments mean nothing; the engine's own counts are taken."""
    pieces: list[str] = []
    client = connect(lambda _request: _stream(_chunk("Hel"), _chunk("lo"), _chunk(finish="stop"), USAGE))
    reply = _ask(client, on_text=pieces.append)

    assert (pieces, reply.text) == (["Hel", "lo"], "Hello")
    assert (reply.tokens_in, reply.tokens_out, reply.finish_reason) == (12, 3, "stop")


def test_the_request_names_agent_environment_and_schema(connect: Callable[[Handler], Client]) -> None:
    """What the router routes and meters by, and what the engine constrains by, is on the wire."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return _stream(_chunk("x", "stop"))

    _ask(connect(handler), schema=record(ok=BOOLEAN))
    body = json.loads(seen[0].content)

    assert (seen[0].headers["x-gridtie-agent"], seen[0].headers["x-gridtie-environment"]) == ("planner", "test")
    assert seen[0].headers["x-gridtie-purpose"] == "demo"
    assert (body["seed"], body["stream_options"]) == (5, {"include_usage": True})
    assert body["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (httpx.Response(401, json={"error": {"message": "unknown key"}}), "401: unknown key"),
        (httpx.Response(500, text="<html>oops"), "500: <html>oops"),
        (_stream(_chunk("x"), {"error": {"message": "engine died"}}), "interrupted: engine died"),
        (_stream(_chunk("x")), "without a finish reason"),
        (_stream(_chunk("x"), done=False), "without a finish reason"),
        (httpx.Response(200, text="data: {oops\n\n"), "not JSON"),
    ],
)
def test_what_goes_wrong_is_said(connect: Callable[[Handler], Client], response: httpx.Response, words: str) -> None:
    """A refusal, a broken stream and a cut stream are errors, never short answers."""
    with pytest.raises(RequestFailed, match=words):
        _ask(connect(lambda _request: response))


def test_a_router_that_cannot_be_reached_is_an_error_with_advice(connect: Callable[[Handler], Client]) -> None:
    """The doctor is named."""

    def handler(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(RequestFailed, match=r"connection refused.*gridtie doctor"):
        connect(handler).models()


def test_a_busy_router_is_asked_again(connect: Callable[[Handler], Client]) -> None:
    """503 with Retry-After is an invitation to come back."""
    answers = [
        httpx.Response(503, json={"error": {"message": "full"}}, headers={"retry-after": "1"}),
        _stream(_chunk("x", "stop")),
    ]

    assert _ask(connect(lambda _request: answers.pop(0))).text == "x"


def test_a_router_that_stays_busy_is_an_error_in_the_end(connect: Callable[[Handler], Client]) -> None:
    """The number of tries is bounded."""
    asked: list[int] = []

    def handler(_request: httpx.Request) -> httpx.Response:
        asked.append(1)
        return httpx.Response(429, json={"error": {"message": "slow down"}}, headers={"retry-after": "1"})

    with pytest.raises(RequestFailed, match="stayed busy: 429: slow down"):
        _ask(connect(handler))
    assert len(asked) == 4


def test_the_ledgers_row_is_waited_for(connect: Callable[[Handler], Client]) -> None:
    """A row may appear a moment after the last byte."""
    row = {
        "target": "station/m",
        "locality": "local",
        "rule": "dev",
        "cost_usd": 0.0,
        "baseline_usd": 0.1,
        "baseline": "b",
    }
    answers = [httpx.Response(404), httpx.Response(404), httpx.Response(200, json=row)]
    found = connect(lambda _request: answers.pop(0)).record("id-1")

    assert found is not None
    assert (found.locality, found.cost_usd, found.baseline_usd, found.baseline_model) == ("local", 0.0, 0.1, "b")


def test_an_endpoint_without_a_ledger_has_no_rows(connect: Callable[[Handler], Client]) -> None:
    """Any OpenAI-compatible endpoint will do, without figures on cost."""
    client = connect(lambda _request: httpx.Response(404))

    assert client.record(None) is None
    assert client.record("id-1") is None
