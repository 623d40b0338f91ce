"""A prompt in the conventions' form, from every dialect, cut where it is long."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gridtie.dialects.anthropic.facts import read as read_anthropic
from gridtie.dialects.embeddings.facts import read_openai
from gridtie.dialects.facts import Facts
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.openai_completions.facts import read as read_completion
from gridtie.gateway.traces import prompt
from gridtie.gateway.traces.prompt import messages

Read = Callable[[bytes], Facts]


def said(reader: Read, body: dict[str, Any]) -> Any:
    return json.loads(messages(reader(json.dumps({"model": "coder", **body}).encode())))


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


def test_a_chat_is_told_by_roles_and_parts() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    found = said(
        read,
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "1 + 1, \u00e4?"}, picture]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "2"},
            ]
        },
    )

    assert found == [
        {"role": "system", "parts": [text("Be brief.")]},
        {"role": "user", "parts": [text("1 + 1, ä?"), {"type": "image"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "add", "arguments": '{"a": 1}'}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "2"}]},
    ]


@pytest.mark.parametrize(
    ("reader", "body", "texts"),
    [
        (read_completion, {"prompt": "def f("}, ["def f("]),
        (read_openai, {"input": ["one", "two"]}, ["one", "two"]),
        (read_openai, {"input": [1, 2, 3]}, []),
        # The other one of the two fields is no business of this dialect's, and anything may stand there.
        (read_completion, {"prompt": "def f(", "input": None}, ["def f("]),
        (read_completion, {"prompt": "def f(", "input": {"a": 1}}, ["def f("]),
        (read_openai, {"input": "one", "prompt": 5}, ["one"]),
        (read_anthropic, {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}, ["Hi"]),
    ],
)
def test_what_every_dialect_asks_is_told(reader: Read, body: dict[str, Any], texts: list[str]) -> None:
    assert [part["content"] for each in said(reader, body) for part in each["parts"]] == texts


def test_long_texts_are_cut_in_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "MOST_TEXT", 10)
    found = said(read, {"messages": [{"role": "user", "content": "x" * 7}, {"role": "user", "content": "y" * 7}]})

    assert [each["parts"] for each in found] == [[text("x" * 7)], [text("y" * 3)]]


@pytest.mark.parametrize(
    "sent",
    [
        [{"role": "user", "content": ""}] * 20_000,
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/"}}] * 20_000}],
        [{"role": "assistant", "tool_calls": [{"id": "x" * 100_000, "function": {"name": "f", "arguments": "{}"}}]}],
        [{"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f" * 100_000, "arguments": "{}"}}]}],
        [{"role": "tool", "tool_call_id": "x" * 100_000, "content": "2"}],
    ],
    ids=["messages", "parts", "id", "name", "id of an answer"],
)
def test_no_form_of_a_prompt_makes_an_attribute_without_measure(sent: list[dict[str, Any]]) -> None:
    """A collector that refuses a batch for its size would lose the spans of everybody in it."""
    found = messages(read(json.dumps({"messages": sent}).encode()))

    assert 0 < len(found) < 100_000


def test_a_batch_of_texts_is_cut_too() -> None:
    assert len(messages(read_openai(json.dumps({"input": [""] * 50_000}).encode()))) < 100_000


def test_what_cannot_be_read_is_left_out() -> None:
    assert messages(read(b"{}")) == ""
