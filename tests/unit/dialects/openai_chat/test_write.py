"""Conversations of other dialects, written for servers of OpenAI's."""

from __future__ import annotations

import json
from typing import Any

from gridtie.dialects.anthropic.facts import read
from gridtie.dialects.codecs import codec
from gridtie.dialects.types import RequestOptions

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def sent(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    """What an OpenAI is asked for a conversation of Anthropic's."""
    facts = read(json.dumps({"model": "m", "max_tokens": 5, "messages": messages}).encode())
    body = json.loads(codec("anthropic", "openai").request(facts, "m", RequestOptions(True)).body)
    found: list[dict[str, Any]] = body["messages"]
    return found


def test_images_in_results_of_tools_follow_them_as_the_users() -> None:
    """OpenAI answers 400 to an image in a message of a tool: an agent that had looked at a picture could not go on."""
    calls = [{"type": "tool_use", "id": id, "name": "look", "input": {}} for id in "ab"]
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "here"}, IMAGE]},
        {"type": "tool_result", "tool_use_id": "b", "content": [IMAGE]},
    ]

    found = sent({"role": "assistant", "content": calls}, {"role": "user", "content": results})

    assert [(message["role"], message["content"]) for message in found[1:]] == [
        ("tool", "here"),
        ("tool", ""),
        ("user", [SHOWN, SHOWN]),
    ]


def test_what_the_user_says_after_them_follows_the_images() -> None:
    call = {"type": "tool_use", "id": "a", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [IMAGE]}
    said = [result, {"type": "text", "text": "what is it?"}]

    found = sent({"role": "assistant", "content": [call]}, {"role": "user", "content": said})

    assert [message["content"] for message in found[1:]] == ["", [SHOWN], "what is it?"]
