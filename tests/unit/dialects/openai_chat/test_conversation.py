"""Reading an OpenAI chat request for translation."""

from __future__ import annotations

import json

import msgspec
import pytest

from gridtie.dialects.conversation import Call, Conversation, Data, Image, arguments_object, leave_out
from gridtie.dialects.openai_chat import facts
from gridtie.dialects.openai_chat import read as reader
from gridtie.dialects.types import Untranslatable

USER = {"role": "user", "content": "hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f"}}


def read(**fields: object) -> Conversation:
    return reader.read(facts.read(json.dumps({"model": "coder", "messages": [USER]} | fields).encode()))


def for_another(**fields: object) -> Conversation:
    """What is left for the writer of another dialect."""
    conversation = read(**fields)
    leave_out(conversation, "ollama")
    return conversation


def message(**fields: object) -> dict[str, object]:
    return {"messages": [USER, USER | fields]}


def image(image_url: msgspec.Raw) -> object:
    """The source of an image with this address."""
    content = [{"type": "image_url", "image_url": msgspec.Raw(image_url)}]
    body = msgspec.json.encode({"messages": [{"role": "user", "content": content}]})
    conversation = reader.read(facts.read(body))
    leave_out(conversation, "ollama")
    (only,) = conversation.messages[0].parts
    assert isinstance(only, Image)
    return only.source


def part(**fields: object) -> dict[str, object]:
    return message(content=[fields])


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
        (part(type="input_audio", input_audio={}), "audio"),
        (part(type="file", file={"file_id": "f"}), "files"),
        (part(type="hologram"), "content"),
        ({"messages": [USER | {"name": "ann"}, USER | {"name": "bob"}]}, "name"),
        ({"chat_template_kwargs": {"add_generation_prompt": False}}, "chat_template_kwargs"),
    ],
)  # fmt: skip
def test_what_no_other_dialect_can_say_is_refused(fields: dict[str, object], needs: str) -> None:
    """Nothing that changes an answer is dropped in silence; the capability that is missing is named."""
    with pytest.raises(Untranslatable) as refusal:
        for_another(**fields)

    assert refusal.value.needs == needs


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"odd": 1}, "odd"),
        (message(odd=1), "messages[1].odd"),
        (message(prefix=True), "messages[1].prefix"),
        (part(type="text", text="a", odd=1), "messages[1].content[0].odd"),
        (message(role="assistant", tool_calls=[CALL | {"odd": 1}]), "messages[1].tool_calls[0].odd"),
        (message(role="assistant", tool_calls=[CALL | {"function": {"name": "f", "odd": 1}}]),
         "messages[1].tool_calls[0].function.odd"),
        ({"tools": [TOOL | {"odd": 1}]}, "tools[0].odd"),
        ({"tools": [TOOL, {"type": "function", "function": {"name": "f", "odd": 1}}]}, "tools[1].function.odd"),
        ({"response_format": {"type": "json_object", "odd": 1}}, "response_format.odd"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}, "odd": 1}}},
         "response_format.json_schema.odd"),
        ({"stream_options": {"odd": 1}}, "stream_options.odd"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}, "odd": 1}}, "tool_choice.odd"),
    ],
)  # fmt: skip
def test_a_field_that_nobody_knows_is_refused_by_its_path_at_every_depth(fields: dict[str, object], path: str) -> None:
    """It may mean something at a target that does know it, so another target is asked."""
    with pytest.raises(Untranslatable) as refusal:
        for_another(**fields)

    assert path in str(refusal.value)
    assert refusal.value.needs == path.rsplit(".", 1)[-1]


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1, "logprobs": False, "logit_bias": {}, "modalities": ["text"], "functions": None, "unheard_of": None},
        {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto", "prompt_cache_key": "k"},
        {"reasoning_effort": "high", "verbosity": "low", "prediction": {"type": "content", "content": "x"}},
        {"keep_alive": "5m", "cache_prompt": True, "stream_options": {"include_obfuscation": False}},
        {"messages": [USER | {"name": "ann"}, {"role": "assistant", "content": "a", "name": "bot"}]},
        {
            "messages": [
                {"role": "assistant", "content": "a", "refusal": None, "annotations": [], "audio": None,
                 "function_call": None, "tool_calls": None, "parsed": None, "reasoning_details": []}
            ]
        },
        message(role="assistant", tool_calls=[CALL | {"index": 0}]),
    ],
    ids=["settings at their default", "labels", "hints", "the station's", "one name a role",
         "a message as an SDK dumps it", "a call as a stream has it"],
)  # fmt: skip
def test_what_asks_for_nothing_is_accepted(fields: dict[str, object]) -> None:
    """Labels, hints and defaults do not stop a request."""
    assert for_another(**fields).messages


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": None},
        {"messages": []},
        message(role="robot"),
        message(content=5),
        part(type="text", text=5),
        {"temperature": 0.5, "stop": 5},
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "yaml"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
    ],
)
def test_a_malformed_body_is_the_clients_own_fault(fields: dict[str, object]) -> None:
    """What is wrong everywhere needs no capability, so no other target is tried."""
    with pytest.raises(Untranslatable) as refusal:
        read(**fields)

    assert refusal.value.needs == ""


@pytest.mark.parametrize(
    "fields",
    [
        message(role="SECRET words of a prompt"),
        part(type="SECRET words of a prompt"),
        {"response_format": {"type": "SECRET words of a prompt"}},
        {"tool_choice": "SECRET words of a prompt"},
    ],
)
def test_a_refusal_quotes_nothing_of_the_body(fields: dict[str, object]) -> None:
    """What a client put into the wrong place may be a prompt, and refusals are stored."""
    with pytest.raises(Untranslatable) as refusal:
        for_another(**fields)

    assert "SECRET" not in str(refusal.value)


def test_the_newer_name_of_the_limit_wins() -> None:
    """`max_completion_tokens` replaced `max_tokens`."""
    assert read(max_tokens=5, max_completion_tokens=7).settings.limit == 7


@pytest.mark.parametrize(("stop", "stops"), [(None, []), ("a", ["a"]), (["a", "b"], ["a", "b"])])
def test_stops(stop: object, stops: list[str]) -> None:
    """One stop sequence or several."""
    assert read(stop=stop).settings.stops == stops


@pytest.mark.parametrize("form", [{"url": "%s", "detail": "low"}, "%s"], ids=["object", "string"])
@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("data:image/png;base64,AAAA", Data("image/png", msgspec.Raw(b'"AAAA"'))),
        ("DATA:image/PNG;charset=x;BASE64,AAAA", Data("image/png", msgspec.Raw(b'"AAAA"'))),
        ("https://example.org/a.png", msgspec.Raw(b'"https://example.org/a.png"')),
    ],
)
def test_image_address(form: object, url: str, address: object) -> None:
    """A data URL is taken apart, any other is told from it."""
    image_url = msgspec.Raw(json.dumps(form).replace("%s", url).encode())

    assert image(image_url) == address


@pytest.mark.parametrize(
    "url", ['"data:image/png,AAAA"', '"data:image/png;base64"', "5", '{"url":5}', '{"url":"x","odd":1}']
)
def test_a_broken_image_is_refused_by_its_path(url: str) -> None:
    """A data URL that carries no base64, or no URL at all, is the client's mistake."""
    with pytest.raises(Untranslatable, match=r"messages\[0\].*image_url"):
        image(msgspec.Raw(url.encode()))


@pytest.mark.parametrize("arguments", ["[1]", "{", "text", "[" * 100_000], ids=["list", "cut", "text", "deep"])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    """OpenAI carries what a model wrote, valid or not; other dialects take objects only."""
    with pytest.raises(Untranslatable, match="'f'") as refusal:
        arguments_object(Call(name="f", arguments=arguments))

    assert refusal.value.needs == "tools"
