"""A conversation that goes on begins, for every target, as it did: its prefix is in the cache of whoever read it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from gridtie.dialects.anthropic.facts import read as read_anthropic
from gridtie.dialects.codecs import codec
from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama.facts import read_chat
from gridtie.dialects.openai_chat.facts import read as read_chat_completion
from gridtie.dialects.openai_responses.facts import read as read_response
from gridtie.dialects.types import Dialect, RequestOptions

PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}}
SHOWN = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}

# What each dialect's client sends: what stays, and the messages or items that its turns add.
OPENAI: tuple[dict[str, Any], list[list[dict[str, Any]]]] = (
    {"tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}]},
    [
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {
                "url": f"data:image/png;base64,{PNG}"}}]},
        ],
        [
            {"role": "assistant", "content": "Well.", "reasoning_content": "hm", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"b": "x",  "a": 1}'}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
            {"role": "tool", "tool_call_id": "c2", "content": "2"},
        ],
        [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "And?"}],
        [{"role": "assistant", "content": "That."}, {"role": "user", "content": "Bye."}],
    ],
)  # fmt: skip
ANTHROPIC: tuple[dict[str, Any], list[list[dict[str, Any]]]] = (
    {
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "f", "input_schema": SCHEMA}],
    },
    [
        [{"role": "user", "content": [{"type": "text", "text": "Look:"}, SHOWN]}],
        [
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"}, {"type": "text", "text": "Well."},
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"b": "x", "a": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "1"}, SHOWN]},
                {"type": "text", "text": "There."}]},
        ],
        [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "And?"}],
    ],
)  # fmt: skip
OLLAMA: tuple[dict[str, Any], list[list[dict[str, Any]]]] = (
    {"tools": OPENAI[0]["tools"]},
    [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Look:", "images": [PNG]}],
        [
            {"role": "assistant", "content": "Well.", "thinking": "hm", "tool_calls": [
                {"function": {"name": "f", "arguments": {"b": "x", "a": 1}}}]},
            {"role": "tool", "tool_name": "f", "content": "1"},
        ],
        [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "And?"}],
    ],
)  # fmt: skip
RESPONSES: tuple[dict[str, Any], list[list[dict[str, Any]]]] = (
    {"instructions": "Be brief.", "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]},
    [
        [{"role": "user", "content": [{"type": "input_text", "text": "Look:"}]}],
        [
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}],
             "encrypted_content": "anthropic.signature.c2ln"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Well."}]},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"b": "x",  "a": 1}'},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
        ],
        [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "And?"}],
    ],
)  # fmt: skip

CLIENTS: dict[Dialect, tuple[Callable[[bytes], Facts], str, tuple[dict[str, Any], list[list[dict[str, Any]]]]]] = {
    "openai": (read_chat_completion, "messages", OPENAI),
    "anthropic": (read_anthropic, "messages", ANTHROPIC),
    "ollama": (read_chat, "messages", OLLAMA),
    "openai-responses": (read_response, "input", RESPONSES),
}


def prompts(client: Dialect, target: Dialect) -> list[tuple[bytes, list[bytes]]]:
    """What a target is asked, turn by turn: all beside the messages, and what these hold, in order."""
    read, name, (stays, turns) = CLIENTS[client]
    found = []
    for said in itertools.accumulate(turns):
        facts = read(json.dumps({"model": "m", "stream": True} | stays | {name: said}).encode())
        body = json.loads(codec(client, target).request(facts, "m", RequestOptions(True)).body)
        messages = body.pop("messages")
        found.append((json.dumps(body).encode(), [json.dumps(each).encode() for each in _pieces(messages, target)]))
    return found


def _pieces(messages: list[dict[str, Any]], target: Dialect) -> list[Any]:
    """Anthropic's turns grow by blocks: neighbours of one side are one message there."""
    if target != "anthropic":
        return messages
    return [
        (message["role"], block)
        for message in messages
        for block in ([message["content"]] if isinstance(message["content"], str) else message["content"])
    ]


@pytest.mark.parametrize("target", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("client", CLIENTS)
def test_each_turn_is_the_one_before_and_more(client: Dialect, target: Dialect) -> None:
    for (head, before), (same, after) in itertools.pairwise(prompts(client, target)):
        assert head == same
        assert after[: len(before)] == before
        assert len(after) > len(before)


def test_marks_for_the_cache_reach_anthropic_from_every_client_that_has_them() -> None:
    """At the last block before what is new, as its clients put them."""
    mark = {"type": "ephemeral"}
    asked = {"role": "user", "content": [{"type": "text", "text": "long", "cache_control": mark}]}
    for client in ("openai", "anthropic"):
        read = CLIENTS[client][0]
        facts = read(json.dumps({"model": "m", "max_tokens": 9, "messages": [asked]}).encode())
        body = json.loads(codec(client, "anthropic").request(facts, "m", RequestOptions(True)).body)

        assert body["messages"][0]["content"][0]["cache_control"] == mark
        assert facts.caches
