"""Requests of Ollama's clients, read: what they mean to everybody else."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.conversation import Call, Conversation, Text
from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama.facts import read_chat, read_generate
from gridtie.dialects.ollama.generate import read_turn
from gridtie.dialects.ollama.read import read
from gridtie.dialects.types import InvalidRequest, RequestOptions, Untranslatable

USER = {"role": "user", "content": "hi"}
CALL = {"function": {"name": "add", "arguments": {"a": 1}}}
NOW = {"function": {"name": "now", "arguments": {}}}


def chat(**fields: Any) -> Facts:
    return read_chat(json.dumps({"model": "m", "messages": [USER]} | fields).encode())


def conversation(*messages: dict[str, Any]) -> Conversation:
    return read(chat(messages=list(messages)))


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({}, "stream", True),
        ({"stream": False}, "stream", False),
        ({"options": {"num_predict": 9}}, "max_output", 9),
        ({"options": {"num_predict": -1}}, "max_output", None),
        ({"messages": [USER | {"images": []}]}, "needs", set()),
        ({"messages": [USER | {"images": ["AAAA"]}]}, "images", 1),
        ({"tools": []}, "needs", set()),
        ({"tools": [{}]}, "needs", {"tools"}),
        ({"format": ""}, "needs", set()),
        ({"format": {"type": "object"}}, "needs", {"json"}),
    ],
)
def test_what_routing_and_money_ask(fields: dict[str, Any], name: str, value: object) -> None:
    assert getattr(chat(**fields), name) == value


@pytest.mark.parametrize(
    ("body", "dialect"),
    [
        ({"prompt": "x"}, "ollama-generate"),
        ({"prompt": "x", "suffix": ""}, "ollama-generate"),
        ({"prompt": "x", "suffix": "y"}, "ollama-fill"),
        ({"prompt": "x", "raw": True}, "ollama-fill"),
    ],
)
def test_a_gap_is_no_turn(body: dict[str, Any], dialect: str) -> None:
    assert read_generate(json.dumps(body).encode()).dialect == dialect


@pytest.mark.parametrize("field", ["tools", "messages"])
def test_a_prompt_with_fields_of_a_chat_is_refused(field: str) -> None:
    """Calls have no place in its answer; a model that is held to a schema of them met a fault inside the router."""
    with pytest.raises(InvalidRequest, match="/api/chat"):
        read_generate(json.dumps({"model": "m", "prompt": "x", field: [{}]}).encode())
    read_generate(json.dumps({"model": "m", "prompt": "x", field: []}).encode())


def test_a_gap_keeps_every_setting_on_its_way_to_a_completion() -> None:
    """Penalties change the text, and were left out without a word."""
    chosen = {"temperature": 0.5, "top_p": 0.9, "top_k": 3, "min_p": 0.1, "seed": 7}
    chosen |= {"frequency_penalty": 1.5, "presence_penalty": 0.5, "repeat_penalty": 1.1}
    body = {"model": "m", "prompt": "x", "suffix": "y", "options": chosen}
    facts = read_generate(json.dumps(body).encode())

    sent = json.loads(codec("ollama-fill", "openai").request(facts, "m", RequestOptions(True)).body)

    assert chosen.items() <= sent.items()


def test_a_conversation_that_is_sent_as_tokens_counts() -> None:
    """A budget and a rule on a prompt's size saw nothing of it."""
    found = read_generate(json.dumps({"model": "m", "prompt": "x", "context": [5] * 1000}).encode())

    assert found.text_bytes >= 3 * 1000


def test_a_prompt_is_one_turn_after_its_instructions() -> None:
    said = read_turn(read_generate(b'{"model": "m", "system": "be brief", "prompt": "hi", "options": {"top_k": 3}}'))

    assert [
        (message.role, [part.text for part in message.parts if isinstance(part, Text)]) for message in said.messages
    ] == [
        ("system", [msgspec.Raw(b'"be brief"')]),
        ("user", [msgspec.Raw(b'"hi"')]),
    ]
    assert said.settings.top_k == 3


def test_results_find_their_calls_without_ids() -> None:
    """Ollama names a result's function and not its call: by the name, else by the order."""
    said = conversation(
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL, NOW, CALL]},
        {"role": "tool", "tool_name": "now", "content": "5"},
        {"role": "tool", "content": "6"},
        {"role": "tool", "content": "7"},
    )
    ids = [part.id for part in said.messages[1].parts if isinstance(part, Call)]

    assert len(set(ids)) == 3
    assert [message.call_id for message in said.messages[2:]] == [ids[1], ids[0], ids[2]]
    # The same conversation always gets the same ids: a prompt's prefix does not change.
    assert said == conversation(
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL, NOW, CALL]},
        {"role": "tool", "tool_name": "now", "content": "5"},
        {"role": "tool", "content": "6"},
        {"role": "tool", "content": "7"},
    )


@pytest.mark.parametrize(
    "message",
    [{"role": "robot"}, {"role": "user", "content": 5}, USER | {"images": [5]}, USER | {"tool_calls": [{}]},
     USER | {"tool_calls": [{"function": {"name": "f", "arguments": "text"}}]}],
)  # fmt: skip
def test_what_is_malformed_is_the_clients_own_fault(message: dict[str, Any]) -> None:
    with pytest.raises(Untranslatable, match="messages") as refusal:
        conversation(message)

    assert refusal.value.needs == ""


@pytest.mark.parametrize("fields", [{"messages": 5}, {"options": 5}, {"options": {"num_predict": "9"}}, {"tools": {}}])
def test_what_is_wrong_whoever_answers_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        chat(**fields)
