"""The facts of an Anthropic request: what routing, policy and money rest on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridtie.dialects.anthropic.facts import read
from gridtie.dialects.anthropic.read import read as conversation
from gridtie.dialects.facts import Facts
from gridtie.dialects.types import InvalidRequest, Untranslatable

USER = {"role": "user", "content": "hello"}
TOOL = {"name": "add", "input_schema": {"type": "object"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 4000}}


def facts(**fields: Any) -> Facts:
    return read(json.dumps({"model": "m", "max_tokens": 5, "messages": [USER]} | fields).encode())


def test_what_is_plain() -> None:
    found = facts(stream=True)

    assert (found.dialect, found.model, found.stream, found.max_output, found.messages) == (
        *("anthropic", "m", True, 5, 1),
    )
    assert (found.text_bytes, found.needs, found.extras, found.caches) == (5, frozenset(), frozenset(), False)


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"tools": [TOOL]}, "needs", {"tools"}),
        ({"tools": [TOOL], "tool_choice": {"type": "none"}}, "needs", set()),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, "must_call", True),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "add"}}, "must_call", True),
        ({"tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, "one_tool_call", True),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "needs", {"vision"}),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [IMAGE]}]}]}, "images", 1),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "needs", {"json"}),
        ({"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}, "caches", True),
        ({"tools": [TOOL | {"cache_control": {"type": "ephemeral"}}]}, "caches", True),
        ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "extras", {"server-side tools"}),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "extras", set()),
        ({"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}, "extras", {"files"}),
        ({"mcp_servers": [{"type": "url"}]}, "extras", {"mcp_servers"}),
        ({"speed": "fast"}, "extras", {"speed"}),
        ({"service_tier": "auto"}, "extras", set()),
        ({"service_tier": "priority"}, "extras", {"service_tier"}),
    ],
)
def test_what_routing_and_money_ask(fields: dict[str, Any], name: str, value: object) -> None:
    assert getattr(facts(**fields), name) == value


@pytest.mark.parametrize(
    "fields",
    [
        {"system": "x" * 4000},
        {"system": [{"type": "text", "text": "x" * 4000}]},
        {"messages": [USER | {"content": [{"type": "thinking", "thinking": "x" * 4000}]}]},
        {"messages": [USER | {"content": [{"type": "tool_use", "input": {"a": "x" * 4000}}]}]},
        {"messages": [USER | {"content": [{"type": "tool_result", "content": "x" * 4000}]}]},
        {"messages": [USER | {"odd": "x" * 4000}]},
        {"tools": [TOOL | {"description": "x" * 4000}]},
        {"odd": "x" * 4000},
    ],
)
def test_whatever_may_become_prompt_counts_as_text(fields: dict[str, Any]) -> None:
    assert 3800 <= facts(**fields).text_bytes <= 4200


@pytest.mark.parametrize(("beta", "extras"), [("context-1m-2025-08-07,x", 1), ("interleaved-thinking-2025-05-14", 0)])
def test_a_beta_that_is_dearer_is_no_plain_request(beta: str, extras: int) -> None:
    """Where money is limited it is not sent."""
    assert len(read(b"{}", (("anthropic-beta", beta),)).extras) == extras


def test_an_image_is_no_text() -> None:
    found = facts(messages=[USER | {"content": [IMAGE]}])

    assert found.text_bytes < 100
    assert found.image_bytes > 4000


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"model": 5}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"messages": 5}, "messages"),
        ({"messages": [5]}, "messages"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content"),
        ({"tools": {}}, "tools"),
        ({"Max_Tokens": 5}, "Max_Tokens"),
        ({"extra_headers": {"x-gridtie-tags": "private"}}, "extra_headers.x-gridtie-tags"),
    ],
)
def test_what_is_wrong_whoever_answers_is_refused_by_its_path(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        facts(**fields)

    assert raised.value.path == path


def nested(levels: int) -> list[dict[str, Any]]:
    """A tool's result, in the result of another, and so on; at last a text."""
    found: list[dict[str, Any]] = [{"type": "text", "text": "the words" * 100}]
    for _ in range(levels):
        found = [{"type": "tool_result", "tool_use_id": "a", "content": found}]
    return found


def test_results_inside_results_are_measured_once() -> None:
    """Each level was read anew: a few hundred of them around a large text held the router up for seconds."""
    found = facts(messages=[{"role": "user", "content": nested(400)}])

    assert found.text_bytes >= 900
    assert found.extras == {"content parts of an unknown type"}
    assert facts(messages=[{"role": "user", "content": nested(1)}]).extras == frozenset()


@pytest.mark.parametrize("fields", [{"messages": [{"role": "user", "content": nested(2)}]}, {"system": nested(1)}])
def test_a_result_where_none_can_stand_is_refused(fields: dict[str, Any]) -> None:
    """What it says was dropped without a word on the way to another dialect."""
    with pytest.raises(Untranslatable, match="tool_result"):
        conversation(facts(**fields))
