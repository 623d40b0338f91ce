"""OpenAI chat requests to Anthropic's Messages API; the official SDK's types judge what is sent."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pydantic
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

from gridtie.dialects.anthropic.write import DEFAULT_MAX_TOKENS
from gridtie.dialects.codecs import codec
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.types import RequestOptions, Untranslatable
from standins.decoded import ask

CODEC = codec("openai", "anthropic")
PARAMS = pydantic.TypeAdapter(MessageCreateParamsNonStreaming)
USER = {"role": "user", "content": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": SCHEMA}}


def judged(value: object) -> object:
    """Validated all the way down: the SDK's types hold iterables, which pydantic validates as they are read."""
    if isinstance(value, dict):
        return {key: judged(item) for key, item in value.items()}
    return [judged(item) for item in value] if isinstance(value, Iterable) and not isinstance(value, str) else value


def native(**fields: object) -> dict[str, Any]:
    body = json.dumps({"model": "coder", "messages": [USER]} | fields).encode()
    call = ask(CODEC, body, "claude-haiku-5-5")
    assert call.path == "/v1/messages"
    sent = json.loads(call.body)
    assert sent["stream"] is True
    judged(PARAMS.validate_python(sent | {"stream": False}))
    assert sent.keys() <= MessageCreateParamsNonStreaming.__annotations__.keys()
    assert isinstance(sent, dict)
    return sent


def test_the_least_request() -> None:
    """The fields that the API demands are there, and no others; the answer is always asked for as a stream."""
    assert native() == {
        "model": "claude-haiku-5-5",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "stream": True,
    }


def test_sampling_settings_are_not_sent() -> None:
    """API version 2026-10-21 answers 400 to any of them, and OpenAI promises nothing by them."""
    assert native(temperature=0.2, top_p=0.9, top_k=5, min_p=0.1, seed=7) == native()


@pytest.mark.parametrize("limit", [{"max_tokens": 9}, {"max_completion_tokens": 9, "max_tokens": 5}])
def test_limit(limit: dict[str, int]) -> None:
    """The client's own limit is sent as it is."""
    assert native(**limit)["max_tokens"] == 9


def test_stop() -> None:
    """Stop sequences keep their text."""
    assert native(stop="END")["stop_sequences"] == ["END"]


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"repeat_penalty": 1.1}, "repeat_penalty"),
        ({"stop": ["\n"]}, "stop"),
        ({"response_format": {"type": "json_object"}}, "json_object"),
        (
            {
                "messages": [
                    {
                        "role": "system",
                        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
                    }
                ]
            },
            "vision",
        ),
        ({"tool_choice": {"type": "custom", "custom": {"name": "x"}}, "tools": [TOOL]}, "tool_choice"),
    ],
)
def test_what_anthropic_cannot_do_is_refused(fields: dict[str, object], needs: str) -> None:
    """A request is not sent without a part that matters."""
    with pytest.raises(Untranslatable) as refusal:
        native(**fields)

    assert refusal.value.needs == needs


def test_a_penalty_of_nothing_is_no_penalty() -> None:
    """Clients that always send their defaults are not refused."""
    assert native(frequency_penalty=0, presence_penalty=0.0, repeat_penalty=1.0) == native()


def test_instructions_are_hoisted() -> None:
    """System and developer messages become the system prompt, in their order."""
    messages = [
        {"role": "system", "content": "be brief"},
        USER,
        {"role": "developer", "content": [{"type": "text", "text": "be kind"}]},
    ]
    sent = native(messages=messages)

    assert sent["system"] == "be brief\n\nbe kind"
    assert [turn["role"] for turn in sent["messages"]] == ["user"]


def test_marks_for_the_cache_arrive() -> None:
    """On a part, on a message (its last block), on a tool and its function, on a tool's result, and on instructions."""
    mark = {"type": "ephemeral"}
    long, short = {"type": "text", "text": "long", "cache_control": mark}, {"type": "text", "text": "short"}
    sent = native(
        messages=[
            {"role": "system", "content": [long]},
            {"role": "system", "content": "short"},
            {"role": "user", "content": [long, short]},
            {"role": "assistant", "content": "c", "cache_control": mark, "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": "2", "cache_control": mark},
        ],
        tools=[TOOL | {"cache_control": mark}],
    )  # fmt: skip

    assert sent["system"] == [
        {"type": "text", "text": "long", "cache_control": mark},
        {"type": "text", "text": "short"},
    ]
    (user, assistant, result) = (turn["content"] for turn in sent["messages"])
    assert [block.get("cache_control") for block in user] == [mark, None]
    assert [block.get("cache_control") for block in assistant] == [None, mark]
    assert result[0]["cache_control"] == mark
    assert sent["tools"][0]["cache_control"] == mark


def test_a_limit_is_written_where_the_client_named_none() -> None:
    """The router's, which it reserved for, in place of the API's default."""
    facts = read(b'{"messages":[{"role":"user","content":"x"}]}')
    sent = json.loads(CODEC.request(facts, "m", RequestOptions(stream=True, output_limit=9)).body)

    assert sent["max_tokens"] == 9


def test_turns_alternate() -> None:
    """Messages of one side in a row become one turn; tool results are the user's side."""
    messages = [
        USER,
        {"role": "user", "content": "there"},
        {"role": "assistant", "content": "let me see", "tool_calls": [
            {"id": "functions.add:0", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "functions.add:0", "content": "2"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": ""},
    ]  # fmt: skip

    assert native(messages=messages)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "let me see"},
            {"type": "tool_use", "id": "functions_add_0", "name": "add", "input": {"a": 1}},
            {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "functions_add_0", "content": [{"type": "text", "text": "2"}]},
            {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
            {"type": "text", "text": "and?"},
        ]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("data:image/png;base64,AAAA", {"type": "base64", "media_type": "image/png", "data": "AAAA"}),
        ("data:image/jpg;base64,AAAA", {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}),
        ("https://example.org/a.png", {"type": "url", "url": "https://example.org/a.png"}),
    ],
)
def test_images(url: str, source: dict[str, str]) -> None:
    """Images pass as data or as the address that Anthropic fetches."""
    part = {"type": "image_url", "image_url": {"url": url}}
    sent = native(messages=[{"role": "user", "content": [{"type": "text", "text": "what?"}, part]}])

    assert sent["messages"][0]["content"] == [{"type": "text", "text": "what?"}, {"type": "image", "source": source}]


def test_an_image_of_an_unknown_type_is_refused() -> None:
    """Another target may know the type."""
    part = {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}}

    with pytest.raises(Untranslatable, match="image/tiff") as refusal:
        native(messages=[{"role": "user", "content": [part]}])

    assert refusal.value.needs == "vision"


def test_tools() -> None:
    """Functions become tools with their schema as it came; strictness is asked for where the client asks."""
    strict = {"type": "function", "function": {"name": "now", "strict": True}}

    assert native(tools=[TOOL, strict])["tools"] == [
        {"name": "add", "description": "adds", "input_schema": SCHEMA},
        {"name": "now", "strict": True, "input_schema": {"type": "object", "properties": {}}},
    ]


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "add"}}}, {"type": "tool", "name": "add"}),
        ({"parallel_tool_calls": True}, None),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
    ],
)
def test_tool_choice(fields: dict[str, object], choice: dict[str, object] | None) -> None:
    """Every choice of OpenAI's has its counterpart."""
    assert native(tools=[TOOL], **fields).get("tool_choice") == choice


def json_schema(schema: dict[str, object]) -> dict[str, object]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


def test_a_schema_is_closed() -> None:
    """Objects that leave it open are closed, everywhere in the schema, as the API demands."""
    inner = {"type": "object", "properties": {"minimum": {"type": "string"}}}
    schema = {
        "type": "object",
        "properties": {"list": {"type": "array", "items": inner}, "ref": {"$ref": "#/$defs/d"}},
        "$defs": {"d": {"anyOf": [inner, {"type": "null"}]}},
    }
    shut = inner | {"additionalProperties": False}

    assert native(**json_schema(schema))["output_config"]["format"]["schema"] == {
        "type": "object",
        "properties": {"list": {"type": "array", "items": shut}, "ref": {"$ref": "#/$defs/d"}},
        "$defs": {"d": {"anyOf": [shut, {"type": "null"}]}},
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": True},
        {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}}},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
        {"type": "array", "items": {"type": "string", "maxLength": 3}},
        {"anyOf": [{"oneOf": []}]},
        {"type": "array", "items": {}, "minItems": 2},
    ],
)
def test_a_schema_that_would_hold_less_than_it_says_is_refused(schema: dict[str, object]) -> None:
    """A keyword that Anthropic does not enforce is not dropped in silence."""
    with pytest.raises(Untranslatable) as refusal:
        native(**json_schema(schema))

    assert refusal.value.needs == "json_schema"


def test_a_schema_nested_beyond_reason_is_refused() -> None:
    """Depth is bounded, by an answer and not by a crash."""
    body = (
        b'{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"schema":'
    )
    body += b'{"items":' * 600 + b"{}" + b"}" * 603

    with pytest.raises(Untranslatable):
        ask(CODEC, body, "claude")
