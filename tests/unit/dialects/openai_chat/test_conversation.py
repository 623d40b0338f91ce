"""Reading an OpenAI chat request for translation."""

from __future__ import annotations

import json

import pytest

from gridtie.dialects import chat
from gridtie.dialects.types import Untranslatable

USER = {"role": "user", "content": "hi"}


def read(**fields: object) -> chat.ChatRequest:
    return chat.read(json.dumps({"model": "coder", "messages": [USER]} | fields).encode())


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "logprobs"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"unheard_of": 1}, "unheard_of"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
        ({"messages": [{"role": "function", "name": "f", "content": "1"}]}, "functions"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, "audio"),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]}, "files"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "content"),
        ({"messages": [USER | {"name": "ann"}, USER | {"name": "bob"}]}, "name"),
    ],
)  # fmt: skip
def test_what_no_other_dialect_can_say_is_refused(fields: dict[str, object], needs: str) -> None:
    """Nothing that changes an answer is dropped in silence; the capability that is missing is named."""
    with pytest.raises(Untranslatable) as refusal:
        read(**fields)

    assert refusal.value.needs == needs


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "logprobs": False, "logit_bias": {}, "modalities": ["text"], "functions": None},
        {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto", "prompt_cache_key": "k"},
        {"reasoning_effort": "high", "verbosity": "low", "prediction": {"type": "content", "content": "x"}},
        {"messages": [USER | {"name": "ann"}, {"role": "assistant", "content": "a", "name": "bot"}]},
        {
            "messages": [
                {"role": "assistant", "content": "a", "refusal": None, "annotations": [], "audio": None,
                 "function_call": None, "tool_calls": None}
            ]
        },
    ],
    ids=["settings at their default", "labels", "hints", "one name a role", "a message as an SDK dumps it"],
)  # fmt: skip
def test_what_asks_for_nothing_is_accepted(fields: dict[str, object]) -> None:
    """Labels, hints and defaults do not stop a request."""
    assert read(**fields).messages


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"model":"x"}',
        b'{"messages":[]}',
        b'{"messages":"hi"}',
        b'{"messages":[{"role":"robot","content":"x"}]}',
        b'{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}',
    ],
)
def test_a_malformed_body_is_the_clients_own_fault(body: bytes) -> None:
    """What is wrong everywhere needs no capability, so no other target is tried."""
    with pytest.raises(Untranslatable) as refusal:
        chat.read(body)

    assert refusal.value.needs == ""


def test_the_newer_name_of_the_limit_wins() -> None:
    """`max_completion_tokens` replaced `max_tokens`."""
    assert read(max_tokens=5, max_completion_tokens=7).limit == 7


@pytest.mark.parametrize(("stop", "stops"), [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"])])
def test_stops(stop: object, stops: list[str]) -> None:
    """One stop sequence or several."""
    assert read(stop=stop).stops == stops


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("data:image/png;base64,AAAA", ("image/png", "AAAA")),
        ("DATA:image/PNG;charset=x;BASE64,AAAA", ("image/png", "AAAA")),
        ("https://example.org/a.png", None),
    ],
)
def test_data_url(url: str, parts: tuple[str, str] | None) -> None:
    """A data URL is taken apart, any other is told from it."""
    assert chat.data_url(url) == parts


@pytest.mark.parametrize("url", ["data:image/png,AAAA", "data:image/png;base64"])
def test_a_broken_data_url_is_refused(url: str) -> None:
    """A data URL that carries no base64 is the client's mistake."""
    with pytest.raises(Untranslatable, match="base64"):
        chat.data_url(url)


@pytest.mark.parametrize("arguments", ["[1]", "{", "text", "[" * 100_000], ids=["list", "cut", "text", "deep"])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    """OpenAI carries what a model wrote, valid or not; other dialects take objects only."""
    with pytest.raises(Untranslatable, match="'f'") as refusal:
        chat.arguments_of(chat.CalledFunction("f", arguments))

    assert refusal.value.needs == "tools"
