"""Spans are the ledger's row and its attempts, under the conventions' names."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gridtie.gateway.traces.spans import Span, spans
from gridtie.gateway.traces.trace import Finished, Trace
from gridtie.ledger.entry import Entry, Try
from gridtie.providers.target import Target
from gridtie.routing.outcome import Outcome
from gridtie.routing.plan import Plan, PlannedAttempt, RequestInfo, Skip

TARGET = Target(
    id="here/small", provider="here", model="small", locality="local", dialect="openai", base_url="http://h:1/v1",
    engine="ollama",
)  # fmt: skip
INFO = RequestInfo(
    id="r-1", surface="openai", alias="coder", environment="dev", key="anna", stream=True, choices=3, max_output=50
)
ENTRY = Entry(
    id="r-1", time=1000.0, key="anna", environment="dev", surface="openai", asked="coder", status=200, rule="all",
    stream=True, target="here/small", locality="local", input_tokens=5, output_tokens=7, cached_tokens=2,
    cache_write_tokens=3, reasoning_tokens=4, estimated=True, first_token=0.75, duration=2.0, waited=0.25,
    cost_usd=0.0, baseline_usd=0.5, tags=("a", "b"), agent="planner", purpose="demo",
)  # fmt: skip
OK = Try(target="here/small", locality="local", outcome="ok", duration=1.5)


def made(
    *tries: tuple[Target, Try], entry: Entry = ENTRY, limit: int | None = None, dialect: str = "openai", **outcome: Any
) -> list[Span]:
    """A request that came at 1000 s, whose attempts began half a second apart."""
    trace = Trace(None, 1, lambda: 2, lambda _: None, "POST /v1/chat/completions")
    trace.dialect = dialect
    skipped = (Skip(target="openai/gpt", reason="left alone", code="failing"),)
    found = Outcome(INFO, Plan(rule="all", skipped=skipped), 1000.0, 50.0, attempts=len(tries), **outcome)
    for number, (target, tried) in enumerate(tries):
        planned = found.planned = PlannedAttempt(target=target, reason=f"reason {number}", output_limit=limit)
        trace.upstream(target)
        trace.tried(planned, 50.5 + number / 2, tried)
    return spans(Finished(trace, found, entry))


def test_the_span_of_a_request_holds_what_its_row_holds() -> None:
    server, _ = made((TARGET, OK))

    assert (server.start, server.end, server.kind, server.error) == (1000 * 10**9, 1002 * 10**9, "server", None)
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "gridtie.request.id": "r-1",
        "gridtie.outcome": "ok",
        "gridtie.surface": "openai",
        "gridtie.environment": "dev",
        "gridtie.agent": "planner",
        "gridtie.tags": ["a", "b"],
        "gridtie.purpose": "demo",
        "gridtie.rule": "all",
        "gridtie.reason": "reason 0",
        "gridtie.skipped": ["openai/gpt: left alone"],
        "gridtie.target": "here/small",
        "gridtie.locality": "local",
        "gridtie.attempts": 1,
        "gridtie.waited_seconds": 0.25,
        "gridtie.cost_usd": 0.0,
        "gridtie.baseline_usd": 0.5,
        "gen_ai.request.model": "coder",
    }


def test_the_span_of_an_attempt_holds_what_was_asked_of_whom_and_what_came() -> None:
    _, attempt = made((TARGET, OK))

    assert (attempt.start, attempt.end, attempt.kind) == (1000_500_000_000, 1002 * 10**9, "client")
    assert attempt.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "ollama",
        "gen_ai.request.model": "small",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.choice.count": 3,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.cache_write.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 4,
        "gridtie.usage.estimated": True,
        "gridtie.target": "here/small",
        "gridtie.locality": "local",
        "gridtie.reason": "reason 0",
        "gridtie.outcome": "ok",
        "server.address": "h",
        "server.port": 1,
    }


def test_the_limit_that_the_router_wrote_is_the_one_that_is_told() -> None:
    assert made((TARGET, OK), limit=77)[1].attributes["gen_ai.request.max_tokens"] == 77


@pytest.mark.parametrize(
    ("base_url", "changes", "name"),
    [
        ("https://api.openai.com/v1", {"engine": ""}, "openai"),
        ("https://api.mistral.ai/v1", {"engine": ""}, "mistral_ai"),
        ("https://gateway.example/v1", {"engine": ""}, "here"),
        ("https://gateway.example", {"engine": "", "dialect": "anthropic"}, "anthropic"),
        ("http://127.0.0.1:8000/v1", {"engine": "vllm"}, "vllm"),
        ("no address", {"engine": ""}, "here"),
    ],
)
def test_a_provider_is_called_as_the_conventions_call_it(base_url: str, changes: dict[str, Any], name: str) -> None:
    target = replace(TARGET, base_url=base_url, **changes)

    assert made((target, OK))[1].attributes["gen_ai.provider.name"] == name


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        ("openai", "chat small"),
        ("anthropic", "chat small"),
        ("openai-responses", "chat small"),
        ("ollama-generate", "text_completion small"),
        ("ollama-embed", "embeddings small"),
    ],
)
def test_an_operation_is_called_by_what_was_asked(dialect: str, name: str) -> None:
    assert made((TARGET, OK), dialect=dialect)[1].name == name


@pytest.mark.parametrize(
    ("result", "error"),
    [("ok", None), ("cancelled", None), ("skipped", None), ("timeout", "why"), ("broken", "why")],
)
def test_only_what_failed_is_an_error(result: str, error: str | None) -> None:
    tried = Try(target="here/small", locality="local", outcome=result, message="why")
    _, attempt = made((TARGET, tried))

    assert (attempt.error, attempt.attributes["gridtie.outcome"]) == (error, result)
    assert attempt.attributes.get("error.type") == (result if error else None)


def test_tokens_stand_with_the_attempt_that_answered_alone() -> None:
    failed = Try(target="cloud/large", locality="cloud", outcome="broken", duration=0.1)
    cloud = replace(TARGET, id="cloud/large", locality="cloud")
    _, first, second = made((cloud, failed), (TARGET, OK))

    assert "gen_ai.usage.output_tokens" not in first.attributes
    assert second.attributes["gen_ai.usage.output_tokens"] == 7


@pytest.mark.parametrize(
    ("changes", "outcome", "wanted", "error"),
    [
        ({"status": 404, "code": "model_not_found"}, {}, "failed", None),
        ({"status": 503, "code": "busy", "error": "all busy"}, {}, "failed", "all busy"),
        ({"status": 200, "code": "upstream_broken", "error": "cut"}, {"committed": True}, "failed", "cut"),
        ({"status": 499}, {"gone": True}, "cancelled", None),
    ],
)
def test_how_a_request_ended_is_told(
    changes: dict[str, Any], outcome: dict[str, Any], wanted: str, error: str | None
) -> None:
    server, *_ = made(entry=replace(ENTRY, complete=False, target=None, **changes), **outcome)

    assert (server.attributes["gridtie.outcome"], server.error) == (wanted, error)
    assert server.attributes.get("gridtie.code") == changes.get("code")
    assert server.attributes.get("error.type") == (changes["code"] if error else None)


def test_long_names_are_cut_as_in_the_ledger() -> None:
    server, *_ = made((TARGET, OK), entry=replace(ENTRY, agent="x" * 1000, error="y" * 1000, code="z"))

    assert len(str(server.attributes["gridtie.agent"])) == 64
    assert len(str(server.attributes["gridtie.error"])) == 300
