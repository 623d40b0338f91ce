"""A decision sees a request's facts, its key and its claims, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.values import MOST_VALUES
from gridtie.gateway.claims import Claims
from gridtie.gateway.dispatch import IMAGE_TOKENS, request_info
from gridtie.gateway.keys import Key
from gridtie.routing.plan import RequestInfo
from standins.router import Answered, Station, chat, routing, run
from standins.scripted import Upstream, whole

KEY = Key(name="dev", environments=("dev", "test"))


def info(claims: Claims | None = None, **fields: object) -> RequestInfo:
    body = json.dumps({"model": "coder", "messages": [{"role": "user", "content": "x" * 400}], **fields}).encode()
    return request_info("r1", "openai", read(body), KEY, claims)


def test_size_is_that_of_the_text_rounded_up() -> None:
    assert info().prompt_tokens >= 100
    assert info().prompt_tokens < 120
    assert info(messages=[{"role": "user", "content": "x"}]).prompt_tokens >= 1


def test_a_picture_is_no_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}

    asked = info(messages=[{"role": "user", "content": [picture]}])

    assert asked.images == 1
    assert asked.prompt_tokens < 2 * IMAGE_TOKENS
    assert asked.needs == {"vision"}


def test_without_claims_a_request_is_in_its_keys_first_environment() -> None:
    assert (info().environment, info().tags, info().purpose) == ("dev", frozenset(), "")


def test_claims_say_where_it_belongs() -> None:
    asked = info(Claims("test", "reviewer", frozenset({"private"}), "doctor"))

    assert (asked.environment, asked.agent, asked.tags, asked.purpose) == ("test", "reviewer", {"private"}, "doctor")


def test_a_relay_is_known_by_its_key() -> None:
    relay = Key(name="other", environments=("relay",), relay=True)

    assert request_info("r1", "openai", read(b'{"messages": []}'), relay, None).relayed


def test_too_many_values_are_refused_in_each_clients_own_shape_and_the_next_request_is_served(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": ""}] * MOST_VALUES
    asked: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": messages},
        "/v1/responses": {"input": messages},
        "/v1/messages": {"max_tokens": 9, "messages": messages},
        "/v1/messages/count_tokens": {"messages": messages},
        "/api/chat": {"messages": messages},
        "/v1/embeddings": {"input": [""] * (MOST_VALUES + 1)},
    }

    async def ask() -> tuple[list[Answered], Answered, int]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            refused = [await station.ask({"model": "coder", **body}, path=path) for path, body in asked.items()]
            return refused, await station.ask(chat()), len(here.turns)

    refused, served, reached = run(ask)

    openai, responses, anthropic, counted, ollama, embeddings = refused
    assert {each.status for each in refused} == {400}
    assert (served.status, reached) == (200, 1)
    for each in (openai, responses, embeddings):
        assert each.error["code"] == "invalid_body"
    assert {anthropic.error["type"], counted.error["type"]} == {"invalid_request_error"}
    assert "values, wanted at most 100000" in ollama.json["error"]
    assert all(b"wanted at most 100000" in each.body for each in refused)
