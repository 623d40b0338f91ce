"""The table in docs/routing.md against the translators: each row is tried at each kind of target."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.openai_chat.conversation import ChatRequest
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.types import Dialect, RequestOptions, Untranslatable

PAGE = Path(__file__).parents[3] / "docs" / "routing.md"
TARGETS: tuple[Dialect, ...] = ("openai", "ollama", "anthropic")
BASE: dict[str, Any] = {
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
    "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
}  # fmt: skip


def rows() -> list[tuple[str, str, Dialect, str]]:
    """(path, value as JSON, target, fate)."""
    found = []
    for line in PAGE.read_text().splitlines():
        if match := re.fullmatch(r"\| `([\w.\[\]]+): (.*)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", line):
            path, value, *fates = match.groups()
            found += [(path, value, target, fate) for target, fate in zip(TARGETS, fates, strict=True)]
    return found


def placed(path: str, value: object) -> dict[str, Any]:
    """The base with a value at a path; `[]` is the first item under which the rest of the path exists."""
    body = copy.deepcopy(BASE)
    *parents, last = re.split(r"\.", path)
    here: list[Any] = [body]
    for step in parents:
        name, listed, _ = step.partition("[]")
        here = [each[name] for each in here if name in each]
        if listed:
            here = [item for each in here if isinstance(each, list) for item in each]
    # Texts of the assistant alone may have been thought about.
    speaker = "assistant" if last in ("reasoning_content", "annotations") else None
    next(each for each in here if speaker in (None, each.get("role")))[last] = value
    return body


def sent(target: Dialect, body: dict[str, Any]) -> Any:
    facts = read(json.dumps(body).encode())
    return json.loads(codec("openai", target).request(facts, "m", RequestOptions(stream=False)).body)


@pytest.mark.parametrize(("path", "value", "target", "fate"), rows())
def test_a_field_meets_the_fate_that_the_table_says(path: str, value: str, target: Dialect, fate: str) -> None:
    """Passed as it is, told in the target's words, left out without a trace, asked of the answer, or refused."""
    body = placed(path, json.loads(value))
    without = {name: value for name, value in BASE.items() if name != path}
    if fate == "refused":
        with pytest.raises(Untranslatable) as refusal:
            sent(target, body)
        assert refusal.value.needs
    elif fate == "passed":
        assert sent(target, body) == body | {"model": "m"}
    elif fate == "translated":
        assert sent(target, body) != sent(target, without)
        assert target != "openai" or isinstance(sent(target, body)[path], int)
    else:
        assert fate in ("dropped", "held in the answer", "judged in the answer")
        assert sent(target, body) == sent(target, without)
        facts = read(json.dumps(body).encode())
        assert facts.one_tool_call is (fate == "held in the answer")
        assert facts.must_call is (fate == "judged in the answer")


def test_the_table_names_every_field_that_a_translator_takes() -> None:
    """What is not in it is refused, so whatever is taken has to be in it."""
    named = {path.split(".")[0].removesuffix("[]") for path, _, _, _ in rows()}
    known = {field.name for field in msgspec.structs.fields(ChatRequest)}
    # Told in the page's text, or refused as OpenAI's own.
    elsewhere = {"model", "stream", "top_logprobs", "audio", "function_call", "moderation"}
    elsewhere |= {"prompt_cache_retention", "prompt_cache_options"}

    assert known - named - elsewhere == set()
