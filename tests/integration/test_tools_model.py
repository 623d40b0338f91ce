"""The model for agents' protocols in llama.cpp's own server: room for an agent's first request, and calls in form."""

from __future__ import annotations

import json
from typing import Any

import httpx
import jsonschema
import pytest

from gridtie.dialects.codecs import HELD_CODECS
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.translation import decode_whole
from gridtie.dialects.types import AnswerOptions, RequestOptions
from integration.station import TOOLS_MODEL as NAME


def tool(name: str, **parameters: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": parameters, "required": list(parameters), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


SHORT = {"type": "string", "maxLength": 12}
SECONDS = {"type": "integer", "minimum": 1, "maximum": 9}
TOOLS = [tool("read_file", path=SHORT), tool("list_directory", path=SHORT), tool("run", command=SHORT, seconds=SECONDS)]


@pytest.fixture
def url(tools_model_url: str) -> str:
    """The model's server."""
    return tools_model_url


def ask(url: str, text: str, **body: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    asked = {"messages": messages, "temperature": 0, "max_tokens": 64, **body}
    answer = httpx.post(url + "/v1/chat/completions", json=asked, timeout=300)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_plain_answers_stay_right(url: str) -> None:
    answer = ask(url, "What is the capital of France? Answer in one sentence.", max_tokens=16)

    assert "Paris" in answer["choices"][0]["message"]["content"]


def test_it_has_room_for_an_agents_first_request(url: str) -> None:
    assert httpx.get(url + "/props").json()["default_generation_settings"]["n_ctx"] == 32768


def test_the_tools_are_in_what_the_model_reads(url: str) -> None:
    body = {"messages": [{"role": "user", "content": "Read the file a."}], "tools": TOOLS}
    prompt = httpx.post(url + "/apply-template", json=body, timeout=60).json()["prompt"]

    assert all(f'"name": "{each["function"]["name"]}"' in prompt for each in TOOLS)


def routed(url: str, **fields: Any) -> Any:
    """The completion of a request with tools, as the router puts it to this model and reads it."""
    body = {"model": "coder", "tools": TOOLS, "temperature": 0, "max_tokens": 200, **fields}
    facts = read(json.dumps(body).encode())
    codec = HELD_CODECS["openai", "openai"]
    sent = codec.request(facts, NAME, RequestOptions(stream=True))
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{url}/v1{sent.path}", content=sent.body, headers=headers, timeout=300)
    assert answer.status_code == 200, answer.text
    whole = decode_whole(codec.collect(AnswerOptions(0, must_call=facts.must_call)), answer.content)
    assert whole.failure is None, whole.failure
    return json.loads(whole.body)["choices"][0]


def test_a_demanded_call_is_one_of_the_tools_with_arguments_of_their_types(url: str) -> None:
    schemas = {each["function"]["name"]: each["function"]["parameters"] for each in TOOLS}
    for text in ("Read the file notes.txt.", "What is in the directory src?", "Run the tests."):
        choice = routed(url, messages=[{"role": "user", "content": text}], tool_choice="required")

        assert choice["finish_reason"] == "tool_calls"
        function = choice["message"]["tool_calls"][0]["function"]
        jsonschema.validate(json.loads(function["arguments"]), schemas[function["name"]])


def test_a_conversation_goes_on_behind_a_tools_result(url: str) -> None:
    """The model calls again or answers in words; either is what a client of this protocol can read."""
    function = {"name": "read_file", "arguments": '{"path": "a"}'}
    messages = [
        {"role": "user", "content": "Read the file a."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "Hello from a."},
    ]
    message = routed(url, messages=messages)["message"]

    assert message.get("tool_calls") or message["content"]
