"""The tables in docs/routing.md against the translators: each row is tried at each kind of target."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gridtie.dialects.anthropic.facts import read as read_anthropic
from gridtie.dialects.codecs import codec
from gridtie.dialects.dropped import patterns
from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama.facts import read_chat
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.openai_responses.facts import read as read_responses
from gridtie.dialects.types import Dialect, RequestOptions, Untranslatable

PAGE = Path(__file__).parents[3] / "docs" / "routing.md"
TARGETS: tuple[Dialect, ...] = ("openai", "ollama", "anthropic")
SECTIONS: dict[str, Dialect] = {
    "field of OpenAI's chat": "openai",
    "field of Anthropic's messages": "anthropic",
    "field of OpenAI's responses": "openai-responses",
    "field of Ollama's chat": "ollama",
}
READ: dict[Dialect, Callable[[bytes], Facts]] = {
    "openai": read,
    "anthropic": read_anthropic,
    "openai-responses": read_responses,
    "ollama": read_chat,
}
SCHEMA = {"type": "object"}
BASES: dict[Dialect, dict[str, Any]] = {
    "openai": {
        "model": "coder",
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            ]},
            {"role": "assistant", "content": "let me see", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "2"},
        ],
        "tools": [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}],
    },
    "anthropic": {
        "model": "coder", "max_tokens": 100,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "add", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "2"}]},
        ],
        "tools": [{"name": "add", "input_schema": SCHEMA}],
    },
    "openai-responses": {
        "model": "coder",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "2"},
        ],
        "tools": [{"type": "function", "name": "add", "parameters": SCHEMA}],
    },
    "ollama": {
        "model": "coder", "options": {},
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "let me see",
             "tool_calls": [{"function": {"name": "add", "arguments": {}}}]},
            {"role": "tool", "tool_name": "add", "content": "2"},
        ],
        "tools": [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}],
    },
}  # fmt: skip


class Row(NamedTuple):
    client: Dialect
    path: str
    # As JSON.
    value: str
    target: Dialect
    fate: str


def rows() -> list[Row]:
    """Every cell of the tables."""
    found: list[Row] = []
    client: Dialect = "openai"
    for line in PAGE.read_text().splitlines():
        client = next((name for title, name in SECTIONS.items() if line.startswith(f"| {title} ")), client)
        if match := re.fullmatch(r"\| `([\w.\[\]]+): (.*)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", line):
            path, value, *fates = match.groups()
            found += [Row(client, path, value, target, fate) for target, fate in zip(TARGETS, fates, strict=True)]
    return found


def placed(client: Dialect, path: str, value: object) -> dict[str, Any]:
    """The base with a value at a path; `[]` is the first item under which the rest of the path exists."""
    body = copy.deepcopy(BASES[client])
    *parents, last = re.split(r"\.", path)
    here: list[Any] = [body]
    for step in parents:
        name, listed, _ = step.partition("[]")
        here = [each[name] for each in here if name in each]
        if listed:
            here = [item for each in here if isinstance(each, list) for item in each]
    # Texts of the assistant alone may have been thought about.
    speaker = "assistant" if last in ("reasoning_content", "annotations", "thinking") and parents else None
    next(each for each in here if speaker in (None, each.get("role")))[last] = value
    return body


def sent(row: Row, body: dict[str, Any]) -> Any:
    facts = READ[row.client](json.dumps(body).encode())
    return json.loads(codec(row.client, row.target).request(facts, "m", RequestOptions(stream=False)).body)


def ours(row: Row) -> dict[str, Any]:
    """What the router writes into a body of the target's own dialect."""
    always = {"model": "m"}
    return always | {"stream": True, "truncate": False, "shift": False} if row.client == "ollama" else always


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.client}-{row.target}-{row.path}-{row.value}")
def test_a_field_meets_the_fate_that_the_table_says(row: Row) -> None:
    """Passed as it is, told in the target's words, left out without a trace, asked of the answer, or refused."""
    base = BASES[row.client]
    body = placed(row.client, row.path, json.loads(row.value))
    without = {name: value for name, value in base.items() if name != row.path or row.path in ("messages", "options")}
    if row.fate == "refused":
        with pytest.raises(Untranslatable) as refusal:
            sent(row, body)
        assert refusal.value.needs
    elif row.fate == "passed":
        assert sent(row, body) == body | ours(row)
    elif row.fate == "translated":
        assert sent(row, body) != sent(row, without)
        assert row.target != row.client or isinstance(sent(row, body)[row.path], int)
    else:
        assert row.fate in ("dropped", "held in the answer", "judged in the answer")
        assert sent(row, body) == sent(row, without)
        facts = READ[row.client](json.dumps(body).encode())
        assert facts.one_tool_call is (row.fate == "held in the answer")
        assert facts.must_call is (row.fate == "judged in the answer")


@pytest.mark.parametrize("client", BASES)
def test_the_table_names_every_field_that_may_be_dropped(client: Dialect) -> None:
    """What is not in it is refused, so whatever is dropped has to be in it."""
    named = {row.path.split(".")[0].removesuffix("[]") for row in rows() if row.client == client}
    # Said in the page's text, or with another field.
    elsewhere = {"top_logprobs", "function_call", "prompt_cache_retention", "prompt_cache_options"}

    assert {path.split(".")[0].removesuffix("[]") for path in patterns(client)} - named - elsewhere == set()
