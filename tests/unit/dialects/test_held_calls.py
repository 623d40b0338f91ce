"""Requests with tools to a model that is held to a schema of them, and what the client gets of its JSON."""

from __future__ import annotations

import json
from typing import Any, Literal

import anthropic.types
import jsonschema
import pytest
from openai.types.chat import ChatCompletion

from gridtie.dialects.anthropic.facts import read as read_anthropic
from gridtie.dialects.codecs import CODECS, HELD_CODECS
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.types import AnswerOptions, Failed, RequestOptions, Untranslatable
from standins.decoded import sdk_chunks

Engine = Literal["openai", "ollama"]

PATH = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
OPEN = {"name": "open", "parameters": PATH}
CLOSE = {"name": "close", "description": "Close it"}
TOOLS = [{"type": "function", "function": each} for each in (OPEN, CLOSE)]
CALL = {"name": "open", "arguments": {"path": "a.txt"}}
ENGINES: list[Engine] = ["openai", "ollama"]


def request(engine: Engine, **fields: Any) -> dict[str, Any]:
    """What the engine is sent for a chat with tools."""
    body = {"model": "coder", "messages": [{"role": "user", "content": "Open a.txt"}], "tools": TOOLS, **fields}
    made = HELD_CODECS["openai", engine].request(read(json.dumps(body).encode()), "small", RequestOptions(stream=False))
    sent: dict[str, Any] = json.loads(made.body)
    return sent


def schema(sent: dict[str, Any]) -> Any:
    return sent.get("format") or sent["response_format"]["json_schema"]["schema"]


def upstream(engine: Engine, text: str, finish: str = "stop") -> bytes:
    """The engine's stream of one answer, its text in two pieces."""
    pieces = [text[:7], text[7:]]
    if engine == "ollama":
        head = {"model": "small", "created_at": "2026-11-29T14:00:00Z"}
        lines = [{**head, "message": {"role": "assistant", "content": piece}, "done": False} for piece in pieces]
        last = {**head, "done": True, "done_reason": finish, "prompt_eval_count": 9, "eval_count": 4}
        return b"".join(json.dumps(line).encode() + b"\n" for line in [*lines, last])
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small"}
    choices: list[Any] = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    events: list[Any] = [{**head, "choices": [choice]} for choice in choices]
    events.append({**head, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}})
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"


def answered(engine: Engine, text: str, *, stream: bool, finish: str = "stop", **options: Any) -> Any:
    """All chunks of an answer to its end, cut anywhere."""
    codec = HELD_CODECS["openai", engine]
    decoder = (codec.stream if stream else codec.collect)(AnswerOptions(50, **options))
    data = upstream(engine, text, finish)
    chunks = []
    for at in range(0, len(data), 11):
        chunks.append(decoder.feed(data[at : at + 11]))
        if chunks[-1].done or chunks[-1].failure:
            return chunks
    return [*chunks, decoder.eof()]


@pytest.mark.parametrize("engine", ENGINES)
def test_several_answers_at_once_are_refused(engine: Engine) -> None:
    """A server of OpenAI's dialect was asked for all of them, and the client was given the first."""
    with pytest.raises(Untranslatable) as refusal:
        request(engine, n=2)

    assert refusal.value.needs == "n"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_tools_are_said_in_words_and_their_calls_held_to_a_schema(engine: Engine) -> None:
    sent = request(engine)

    assert "tools" not in sent and sent["stream"] is True
    assert '"name": "open"' in sent["messages"][0]["content"] and sent["messages"][1]["content"] == "Open a.txt"
    jsonschema.validate(CALL, schema(sent))
    jsonschema.validate({"answer": "It is open."}, schema(sent))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_clients_own_system_message_stays_before_the_words(engine: Engine) -> None:
    plain = request(engine, messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    parts = [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}, {"role": "user", "content": "Hi"}]
    listed = json.dumps(request(engine, messages=parts)["messages"][0])

    assert plain["messages"][0]["content"].startswith("Be brief.") and len(plain["messages"]) == 2
    assert listed.index("Be brief.") < listed.index("open")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_demanded_call_is_held_to_a_call_and_a_named_one_to_that(engine: Engine) -> None:
    demanded = schema(request(engine, tool_choice="required"))
    named = schema(request(engine, tool_choice={"type": "function", "function": {"name": "close"}}))

    jsonschema.validate(CALL, demanded)
    for value, held in (({"answer": "no"}, demanded), (CALL, named)):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(value, held)


@pytest.mark.parametrize("engine", ENGINES)
def test_json_of_a_call_becomes_a_call(engine: Engine) -> None:
    last = answered(engine, json.dumps(CALL), stream=False)[-1]
    choice = ChatCompletion.model_validate_json(last.out).choices[0]

    assert last.done and choice.finish_reason == "tool_calls" and choice.message.content is None
    (call,) = choice.message.tool_calls or ()
    assert call.type == "function" and call.function.name == "open"
    assert json.loads(call.function.arguments) == {"path": "a.txt"} and call.id


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stream_has_the_same_call_and_its_usage_where_it_was_asked_for(engine: Engine) -> None:
    chunks = answered(engine, json.dumps(CALL), stream=True, wants_usage=True)
    sent = sdk_chunks(b"".join(chunk.out for chunk in chunks))
    calls = [call for chunk in sent for choice in chunk.choices for call in choice.delta.tool_calls or ()]

    assert [(call.function.name, call.function.arguments) for call in calls if call.function] == [
        ("open", '{"path":"a.txt"}')
    ]
    assert [c.finish_reason for chunk in sent for c in chunk.choices if c.finish_reason] == ["tool_calls"]
    assert sent[-1].usage is not None and sent[-1].usage.prompt_tokens == 9
    silent = answered(engine, json.dumps(CALL), stream=True)
    assert all(each.usage is None for each in sdk_chunks(b"".join(chunk.out for chunk in silent)))


@pytest.mark.parametrize("engine", ENGINES)
def test_words_stay_words(engine: Engine) -> None:
    last = answered(engine, '{"answer": "It is \\"open\\"."}', stream=False)[-1]
    choice = ChatCompletion.model_validate_json(last.out).choices[0]

    assert (choice.message.content, choice.finish_reason) == ('It is "open".', "stop")
    assert not choice.message.tool_calls


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_limit_of_tokens_cut_is_text_and_no_call(engine: Engine) -> None:
    last = answered(engine, '{"name": "open", "argum', stream=False, finish="length")[-1]
    choice = ChatCompletion.model_validate_json(last.out).choices[0]

    assert choice.message.content == '{"name": "open", "argum' and choice.finish_reason == "length"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_demanded_call_that_was_cut_is_a_failure_and_commits_nothing(engine: Engine) -> None:
    chunks = answered(engine, '{"name": "open", "argum', stream=True, finish="length", must_call=True)

    assert chunks[-1].failure is not None and chunks[-1].failure.kind is Failed.CAPABILITY
    assert not any(chunk.content or chunk.out for chunk in chunks)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_committed_before_the_answer_is_whole(engine: Engine) -> None:
    chunks = answered(engine, json.dumps(CALL), stream=True)

    assert not any(chunk.content or chunk.out for chunk in chunks if not chunk.done)
    assert any(chunk.withheld for chunk in chunks), "the clock between tokens goes by it"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_client_of_anthropics_has_its_tools_held_as_well(engine: Engine) -> None:
    tools = [{"name": "open", "description": "Open it", "input_schema": PATH}]
    body = {"model": "coder", "max_tokens": 99, "system": "Be brief.", "tools": tools,
            "messages": [{"role": "user", "content": "Open a.txt"}]}  # fmt: skip
    codec = HELD_CODECS["anthropic", engine]

    made = codec.request(read_anthropic(json.dumps(body).encode()), "small", RequestOptions(stream=False))
    last = codec.collect(AnswerOptions(50)).feed(upstream(engine, json.dumps(CALL)))

    sent = json.loads(made.body)
    assert "tools" not in sent
    jsonschema.validate(CALL, schema(sent))
    message = anthropic.types.Message.model_validate_json(last.out)
    (block,) = message.content
    assert block.type == "tool_use" and block.input == {"path": "a.txt"} and message.stop_reason == "tool_use"


def test_what_the_tools_were_is_read_again_for_another_target() -> None:
    facts = read(json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": TOOLS}).encode())
    HELD_CODECS["openai", "ollama"].request(facts, "small", RequestOptions(stream=False))

    made = CODECS["openai", "anthropic"].request(facts, "large", RequestOptions(stream=False))

    assert [tool["name"] for tool in json.loads(made.body)["tools"]] == ["open", "close"]
