"""OpenAI chat requests to Ollama's native API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.types import RequestOptions, Untranslatable
from standins.decoded import ask

CODEC = codec("openai", "ollama")
USER = {"role": "user", "content": "hi"}
TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {"a": {}}}},
}


def native(**fields: object) -> dict[str, Any]:
    body = json.dumps({"model": "coder", "messages": [USER]} | fields).encode()
    call = ask(CODEC, body, "gridtie/smollm2:135m")
    assert call.path == "/api/chat"
    decoded = json.loads(call.body)
    assert isinstance(decoded, dict)
    return decoded


def test_a_chat_is_never_cut() -> None:
    """The two switches that make Ollama refuse instead of dropping messages are always off; it always streams."""
    assert native() == {
        "model": "gridtie/smollm2:135m",
        "messages": [USER],
        "stream": True,
        "truncate": False,
        "shift": False,
    }


def test_options() -> None:
    """Sampling settings keep their value under Ollama's names; the context length and keep_alive are never sent."""
    sent = native(
        temperature=0, top_p=0.5, seed=7, stop="END", max_tokens=9, frequency_penalty=0.1, presence_penalty=0.2,
        top_k=3, min_p=0.05, repeat_penalty=1.1,
    )  # fmt: skip

    assert sent["options"] == {
        "temperature": 0, "top_p": 0.5, "seed": 7, "stop": ["END"], "num_predict": 9, "frequency_penalty": 0.1,
        "presence_penalty": 0.2, "top_k": 3, "min_p": 0.05, "repeat_penalty": 1.1,
    }  # fmt: skip
    assert "keep_alive" not in sent


@pytest.mark.parametrize("field", ["options", "num_ctx", "num_gpu"])
def test_a_client_cannot_reach_behind_the_dialect(field: str) -> None:
    """The context and the memory are the station's: a client's own Ollama fields are refused."""
    with pytest.raises(Untranslatable, match=field):
        native(**{field: {"num_ctx": 1024}})


def test_messages() -> None:
    """Every role and part finds its place; a tool's result gets the name of its function."""
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [
            {"type": "text", "text": "what is"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "text", "text": "this?"},
        ]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}},
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
        {"role": "tool", "tool_call_id": "call_x", "content": [{"type": "text", "text": "3"}]},
    ]  # fmt: skip

    assert native(messages=messages)["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "what is\nthis?", "images": ["AAAA"]},
        {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [
            {"id": "call_1", "function": {"name": "add", "arguments": {"a": 1}}},
            {"id": "call_2", "function": {"name": "now", "arguments": {}}},
        ]},
        {"role": "tool", "content": "2", "tool_call_id": "call_1", "tool_name": "add"},
        {"role": "tool", "content": "3", "tool_call_id": "call_x"},
    ]  # fmt: skip


def test_an_image_on_the_web_is_refused() -> None:
    """Ollama fetches nothing, and the router will not either."""
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}

    with pytest.raises(Untranslatable) as refusal:
        native(messages=[{"role": "user", "content": [part]}])

    assert refusal.value.needs == "vision"


@pytest.mark.parametrize("choice", [None, "auto"])
def test_tools_are_shown(choice: str | None) -> None:
    """Tools pass with their schema as it came."""
    assert native(tools=[TOOL], tool_choice=choice)["tools"] == [TOOL]


def test_a_tool_without_parameters_gets_an_empty_schema() -> None:
    """OpenAI lets a function leave its parameters out; templates read them."""
    sent = native(tools=[{"type": "function", "function": {"name": "now"}}])

    assert sent["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


def test_tool_choice_none_shows_no_tools() -> None:
    """A model that is shown no tools calls none."""
    assert "tools" not in native(tools=[TOOL], tool_choice="none")


def test_a_demanded_call_is_asked_for_by_the_tools_alone() -> None:
    """Ollama cannot be told; the answer is judged instead."""
    assert len(native(tools=[TOOL], tool_choice="required")["tools"]) == 1


def test_a_named_function_is_the_only_one_that_the_model_is_shown() -> None:
    other = {"type": "function", "function": {"name": "other"}}

    sent = native(tools=[other, TOOL], tool_choice={"type": "function", "function": {"name": "add"}})

    assert [tool["function"]["name"] for tool in sent["tools"]] == ["add"]


def test_a_named_function_that_is_not_there_is_refused() -> None:
    with pytest.raises(Untranslatable, match="tools does not have it"):
        native(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "nothing"}})


@pytest.mark.parametrize(
    ("response_format", "sent"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, "json"),
        ({"type": "json_object", "schema": {"type": "array"}}, {"type": "array"}),
        ({"type": "json_schema", "schema": {"type": "array"}}, {"type": "array"}),
        ({"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}}},
         {"type": "object"}),
    ],
)  # fmt: skip
def test_response_format(response_format: dict[str, object], sent: object) -> None:
    """A schema is handed to the grammar as it came."""
    assert native(response_format=response_format).get("format") == sent


def test_a_schema_that_is_missing_is_the_clients_fault() -> None:
    """json_schema without a schema is wrong everywhere."""
    with pytest.raises(Untranslatable, match="schema") as refusal:
        native(response_format={"type": "json_schema", "json_schema": {"name": "x"}})

    assert refusal.value.needs == ""


@pytest.mark.parametrize(
    ("fields", "think"),
    [
        ({"chat_template_kwargs": {"enable_thinking": False}}, False),
        ({"chat_template_kwargs": {"enable_thinking": True}}, None),
        ({"think": False}, False),
        ({"think": "high"}, None),
    ],
)
def test_every_way_to_switch_thinking_off(fields: dict[str, object], think: bool | None) -> None:
    """Clients of vLLM, of llama.cpp and of Ollama each have their own."""
    assert native(**fields).get("think") is think


def test_text_and_images_are_not_written_anew() -> None:
    """Escapes stay as the client wrote them, also where several texts become one."""
    content = rb'[{"type":"text","text":"caf\u00e9 \/"},{"type":"text","text":"b"},'
    content += rb'{"type":"image_url","image_url":{"url":"data:image\/png;base64,AA\/A"}}]'
    sent = ask(CODEC, b'{"messages":[{"role":"user","content":' + content + b"}]}", "m").body

    assert rb'"content":"caf\u00e9 \/\nb","images":["AA\/A"]' in sent


def test_a_limit_is_written_only_where_the_client_named_none() -> None:
    """What was reserved is what can be billed."""
    facts = read(b'{"messages":[{"role":"user","content":"x"}]}')
    named = read(b'{"messages":[{"role":"user","content":"x"}],"max_tokens":7}')

    for each, limit in ((facts, 100), (named, 7)):
        sent = json.loads(CODEC.request(each, "m", RequestOptions(stream=True, output_limit=100)).body)
        assert sent["options"] == {"num_predict": limit}


@pytest.mark.parametrize("arguments", ["null", '"null"', '""', '" "', '"{}"', "{}"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    """However a client says that a call had none."""
    call = f'{{"id":"c","type":"function","function":{{"name":"now","arguments":{arguments}}}}}'
    body = f'{{"messages":[{{"role":"assistant","content":null,"tool_calls":[{call}]}}]}}'
    sent = json.loads(ask(CODEC, body.encode(), "m").body)

    assert sent["messages"][0]["tool_calls"][0]["function"] == {"name": "now", "arguments": {}}


@pytest.mark.parametrize(("effort", "think"), [("none", False), ("low", None), ("high", None), (None, None)])
def test_reasoning_effort(effort: str | None, think: bool | None) -> None:
    """Only `none` is an order; Ollama refuses an effort on models that do not think."""
    assert native(reasoning_effort=effort).get("think") is think
