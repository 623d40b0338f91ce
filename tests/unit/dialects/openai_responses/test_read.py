"""Requests to OpenAI's responses, read: what they mean to everybody else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.conversation import Call, Conversation, Thought, Tool, leave_out
from gridtie.dialects.openai_responses import facts
from gridtie.dialects.openai_responses.namespaces import apart, joined
from gridtie.dialects.openai_responses.read import read
from gridtie.dialects.types import Dialect, InvalidRequest, RequestOptions, Untranslatable

FUNCTION = {"type": "function", "name": "add", "parameters": {"type": "object"}}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": "hi"} | fields).encode()


def conversation(*items: dict[str, Any], **fields: Any) -> Conversation:
    return read(facts.read(body(input=list(items), **fields)))


def test_reasoning_text_and_calls_of_an_answer_are_one_message() -> None:
    """They are items of their own there, and belong together everywhere else."""
    said = conversation(
        {"role": "user", "content": "go"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "let me see"}]},
        {"type": "function_call", "call_id": "a", "name": "add", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "1"}]},
        instructions="Be kind.",
    )

    assert [message.role for message in said.messages] == ["system", "user", "assistant", "tool", "tool"]
    answer = said.messages[2].parts
    assert [part.id for part in answer if isinstance(part, Call)] == ["a", "b"]
    assert isinstance(answer[0], Thought)
    assert [message.call_id for message in said.messages[3:]] == ["b", "a"]


def test_the_name_of_a_tool_beside_what_it_gave_is_that_of_its_call() -> None:
    """Codex sends it where it has no tool of the name that was called; no server was told of it as an unknown field."""
    said = conversation(
        {"type": "function_call", "call_id": "a", "namespace": "crew", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "namespace": "crew", "name": "add", "output": "unsupported"},
    )

    assert said.messages[1].rest == {}


def test_tools_of_a_namespace_have_one_name_and_get_two_back() -> None:
    said = read(facts.read(body(tools=[FUNCTION, {"type": "namespace", "name": "crew", "tools": [FUNCTION]}])))
    names = [tool.name for tool in said.settings.tools if isinstance(tool, Tool)]

    assert [apart(name) for name in names] == [("", "add"), ("crew", "add")]
    assert joined("crew", "add") == names[1]


def test_a_name_with_the_joint_in_it_is_refused() -> None:
    """Its call would come back under a namespace that nobody sent."""
    with pytest.raises(Untranslatable, match="name") as refusal:
        read(facts.read(body(tools=[FUNCTION | {"name": "a-_-b"}])))

    assert refusal.value.needs == ""


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"max_output_tokens": 9}, "max_output", 9),
        ({"tools": [FUNCTION]}, "needs", {"tools"}),
        ({"tools": [FUNCTION], "tool_choice": "none"}, "needs", set()),
        ({"tools": [FUNCTION], "tool_choice": "required"}, "must_call", True),
        ({"tools": [FUNCTION], "parallel_tool_calls": False}, "one_tool_call", True),
        ({"tools": [{"type": "web_search"}]}, "extras", {"server-side tools"}),
        ({"tools": [{"type": "namespace", "name": "n", "tools": []}]}, "extras", set()),
        ({"text": {"format": {"type": "json_object"}}}, "needs", {"json"}),
        ({"text": {"format": {"type": "text"}}}, "needs", set()),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "needs", {"vision"}),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "extras", {"files"}),
        ({"background": True}, "extras", {"background"}),
        ({"service_tier": "priority"}, "extras", {"service_tier"}),
    ],
)
def test_what_routing_and_money_ask(fields: dict[str, Any], name: str, value: object) -> None:
    assert getattr(facts.read(body(**fields)), name) == value


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"previous_response_id": "x"}, "previous_response_id"),
        ({"conversation": "x"}, "conversation"),
        ({"input": [{"role": "user", "content": "x"}, {"type": "item_reference", "id": "fc_1"}]}, "input[1]"),
        ({"input": 5}, "input"),
        ({"tools": 5}, "tools"),
    ],
)
def test_what_is_wrong_whoever_answers_is_refused_by_its_path(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        facts.read(body(**fields))

    assert raised.value.path == path


@pytest.mark.parametrize("type", ["code_interpreter", "file_search", "mcp", "custom"])
def test_a_tool_that_its_provider_runs_is_refused(type: str) -> None:
    """All but a search that the model need not make."""
    with pytest.raises(Untranslatable) as refusal:
        leave_out(read(facts.read(body(tools=[{"type": type}]))), "openai")
    leave_out(read(facts.read(body(tools=[{"type": "web_search"}]))), "openai")

    assert refusal.value.needs == "tools"


@pytest.mark.parametrize(
    "items",
    [
        [{"role": "user", "content": [{"type": "input_text", "text": "ten words! "}] * 1000}],
        [{"role": "user", "content": "ten words! "}] * 1000,
    ],
    ids=["parts", "items"],
)
def test_many_short_texts_are_counted_as_text(items: list[dict[str, Any]]) -> None:
    """They were taken for the JSON around them, so that a prompt of any length cost a budget nothing."""
    sent = json.dumps({"model": "m", "input": items}, separators=(",", ":")).encode()

    assert facts.read(sent).text_bytes >= 11 * 1000


@pytest.mark.parametrize("target", ["openai", "ollama"])
def test_what_a_developer_says_reaches_models_that_know_no_such_role(target: Dialect) -> None:
    """Codex says all that an agent must know so; many a template leaves a message of an unknown role out."""
    asked = facts.read(body(input=[{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}]))

    sent = json.loads(codec("openai-responses", target).request(asked, "m", RequestOptions(True)).body)

    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
