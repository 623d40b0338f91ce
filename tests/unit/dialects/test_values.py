"""What is read value by value is bounded, in every dialect and at every depth; what is only measured is not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from gridtie.dialects import values
from gridtie.dialects.anthropic.facts import read as anthropic
from gridtie.dialects.codecs import CODECS
from gridtie.dialects.embeddings import codec as embeddings
from gridtie.dialects.embeddings.facts import read_openai as embed
from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama.facts import read_chat, read_generate
from gridtie.dialects.openai_chat import errors
from gridtie.dialects.openai_chat.facts import read as openai
from gridtie.dialects.openai_chat.reform import MOST_CHOICES
from gridtie.dialects.openai_chat.whole import read_whole
from gridtie.dialects.openai_completions.facts import read as completions
from gridtie.dialects.openai_responses.facts import read as responses
from gridtie.dialects.openai_responses.kept import Earlier
from gridtie.dialects.translation import MOST_CALLS
from gridtie.dialects.types import AnswerOptions, InvalidRequest, RequestOptions
from gridtie.dialects.values import FREE_BYTES, MOST_VALUES, count, holds_numbers, too_many

Read = Callable[[bytes], Facts]
USER = {"role": "user", "content": "a"}
MANY = MOST_VALUES + 1


def list_of(item: str, number: int) -> str:
    return f"[{','.join([item] * number)}]"


def many(item: str) -> str:
    """A list of as many items as have too many values together, and hardly more."""
    each = sum(map(item.count, "[{,")) + 1
    return list_of(item, MANY // each + 1)


def chat(parts: str = '"a"', **fields: str) -> str:
    inside = "".join(f',"{name}":{value}' for name, value in fields.items())
    return f'{{"messages":[{{"role":"user","content":{parts}}}]{inside}}}'


def calls(field: str, item: str) -> str:
    return f'{{"messages":[{{"role":"assistant","content":"","{field}":{many(item)}}}]}}'


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (openai, f'{{"messages":{many(json.dumps(USER))}}}'),
        (openai, f'{{"messages":{many("{}")}}}'),
        (openai, chat(many('{"type":"text","text":"a"}'))),
        (openai, chat(many('""'))),
        (openai, calls("tool_calls", '{"function":{"name":""}}')),
        (openai, chat(tools=many('{"function":{"name":""}}'))),
        (openai, chat(stop=many('""'))),
        (openai, chat(**{f"f{number}": "1" for number in range(MANY)})),
        (openai, chat(extra_body="{" + ",".join(f'"f{number}":1' for number in range(MANY)) + "}")),
        (anthropic, chat(many('{"type":"tool_result","content":""}'))),
        (anthropic, chat(many("{}"))),
        (responses, f'{{"input":{many("{}")}}}'),
        (responses, f'{{"input":[{{"type":"reasoning","summary":{many("{}")}}}]}}'),
        (responses, f'{{"input":"a","tools":[{{"type":"namespace","tools":{many("{}")}}}]}}'),
        (read_chat, calls("images", '""')),
        (read_chat, calls("tool_calls", '{"function":{"name":""}}')),
        (read_generate, f'{{"prompt":"a","images":{many(chr(34) * 2)}}}'),
        (completions, f'{{"prompt":{many(chr(34) * 2)}}}'),
        (embed, f'{{"input":{many(chr(34) * 2)}}}'),
        (embed, f'{{"input":{list_of("[1]", MANY)}}}'),
        # Beside one number no list is one of numbers.
        (embed, f'{{"input":[1,{many("1")[1:-1]},"a"]}}'),
    ],
)
def test_a_body_of_too_many_values_is_refused_with_what_was_found_and_what_is_the_most(read: Read, body: str) -> None:
    with pytest.raises(InvalidRequest, match=r"the body: found \d+ values, wanted at most 100000; leave") as refused:
        read(body.encode())

    assert MOST_VALUES < int(refused.value.found.split()[0]) < 3 * MOST_VALUES


def test_a_long_session_of_an_agent_passes() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a, b"}'}}
    turn = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "def f():\n    return {1, 2}\n" * 10},
    ]
    parameters = {"type": "object", "properties": {f"p{at}": {"type": "string", "description": "x"} for at in range(9)}}
    tools = [{"type": "function", "function": {"name": f"f{at}", "parameters": parameters}} for at in range(100)]

    facts = openai(json.dumps({"messages": [USER, *(turn * 6000)], "tools": tools}).encode())

    assert facts.messages == 12_001
    for target in ("ollama", "anthropic"):
        assert CODECS["openai", target].request(facts, "m", RequestOptions(stream=True)).body


@pytest.mark.parametrize(
    "text",
    ['{"a":[1,2,{}]},' * MANY, '\\"' * MANY + "," * MANY, "\\" * MANY + '"[{,' * MANY, "[{," * MANY],
    ids=["JSON", "quotes", "backslashes", "marks"],
)
def test_texts_count_as_one_each_whatever_stands_in_them(text: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}).encode()

    assert count(body) == 7
    assert openai(body).messages == 1


def test_a_list_of_tokens_counts_as_one_value() -> None:
    tokens = list_of("-1.5e3", MANY)

    assert count(f'{{"input": {tokens}, "b": [ ]}}'.encode()) == 2
    assert embed(f'{{"input": {tokens}}}'.encode()).messages == 1
    assert completions(f'{{"prompt": {tokens}}}'.encode()).messages == 1
    assert read_generate(f'{{"prompt":"a","context":{tokens}}}'.encode()).text_bytes >= 4 * MANY


@pytest.mark.parametrize(
    ("items", "numbers"),
    [("[1]", True), ("[ -1", True), ('["1"]', False), ("[]", False), ("1", False), ("[[1]]", False)],
)
def test_tokens_are_known_by_the_first(items: str, numbers: bool) -> None:
    assert holds_numbers(items.encode()) is numbers  # type: ignore[arg-type]


def test_no_body_that_is_not_looked_at_has_too_many() -> None:
    densest = ("[" + "{}," * (FREE_BYTES // 3 - 1) + "{}]").encode()[:FREE_BYTES]

    assert count(densest) <= MOST_VALUES
    assert too_many(densest) == 0


def test_what_a_request_goes_on_from_counts_with_it() -> None:
    earlier = Earlier(items=list_of("{}", MOST_VALUES // 2)[1:-1].encode())

    with pytest.raises(InvalidRequest, match=r"input: found 100\d+ values"):
        responses(b'{"previous_response_id": "resp_1", "input": [{}, {}]}', lambda id: earlier)


# -- What is read in one go must not be read once for each of its values -----------------------------------------------


def steps(work: Callable[[], object]) -> int:
    """Lines that are run, of comprehensions one for each item."""
    counted = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal counted
        counted += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return counted


def test_results_of_ollama_find_their_calls_in_as_many_steps_as_there_are() -> None:
    def session(turns: int) -> int:
        call = {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}
        body = json.dumps({"messages": [call] * turns + [{"role": "tool"}] * turns}).encode()
        facts = read_chat(body)
        return steps(lambda: CODECS["ollama", "openai"].request(facts, "m", RequestOptions(stream=True)))

    assert session(400) < 2.2 * session(200)


def test_an_error_of_an_upstream_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times = 0

    def read(body: Any) -> errors.ErrorObject:
        nonlocal times
        times += 1
        return errors.ErrorObject(message="no")

    monkeypatch.setattr(errors, "read", read)
    event = b'data: {"choices":' + list_of('{"delta":{},"finish_reason":"error"}', 50).encode() + b"}\n\n"

    for client in ("openai", "anthropic"):
        assert CODECS[client, "openai"].stream(AnswerOptions(1)).feed(event).failure is not None
        assert times == 1
        times = 0


# -- Answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("openai", f'data: {{"choices":[{{"delta":{{"tool_calls":{many("{}")}}}}}]}}\n\n'),
        ("openai", f'{{"choices":{many("{}")}}}'),
        ("anthropic", f'data: {{"type":"message_start","message":{{"content":{many("{}")}}}}}\n\n'),
        ("anthropic", f'{{"type":"message","content":{many("{}")}}}'),
    ],
)
def test_an_event_of_too_many_values_is_a_broken_answer(target: Any, answer: str) -> None:
    stream = CODECS["ollama", target].stream(AnswerOptions(1))

    failure = stream.feed(answer.encode()).failure or stream.eof().failure

    assert failure is not None
    assert "values at once, and at most 100000 are read" in failure.message


def test_a_line_of_too_many_values_is_a_broken_answer() -> None:
    line = f'{{"message":{{"tool_calls":{many("{}")}}}}}\n'

    failure = CODECS["openai", "ollama"].stream(AnswerOptions(1)).feed(line.encode()).failure

    assert failure is not None
    assert "values at once" in failure.message


@pytest.mark.parametrize("client", ["ollama", "anthropic", "openai-responses"])
def test_an_answer_that_never_stops_calling_tools_is_broken(client: Any) -> None:
    stream = CODECS[client, "openai"].stream(AnswerOptions(1))
    failure = None
    for at in range(0, MOST_CALLS + 1, 500):
        pieces = ",".join(f'{{"index":{index},"function":{{"name":"f"}}}}' for index in range(at, at + 500))
        failure = stream.feed(f'data: {{"choices":[{{"delta":{{"tool_calls":[{pieces}]}}}}]}}\n\n'.encode()).failure
        if failure is not None:
            break

    assert failure is not None
    assert f"more than {MOST_CALLS} times" in failure.message


def test_sealed_reasoning_before_any_word_is_held_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    from gridtie.dialects.anthropic import answer_reader

    monkeypatch.setattr(answer_reader, "MAX_ANSWER_BYTES", 10_000)
    stream = CODECS["openai-responses", "anthropic"].stream(AnswerOptions(1))
    stream.feed(b'data: {"type":"message_start","message":{"id":"a","model":"m"}}\n\n')
    block = '{"type":"redacted_thinking","data":"' + "x" * 1000 + '"}'
    event = f'data: {{"type":"content_block_start","content_block":{block}}}\n\n'.encode()

    assert stream.feed(event).failure is None
    assert stream.held() > 1000
    assert any(stream.feed(event).failure is not None for _ in range(10))


def test_an_answer_of_more_choices_than_can_be_asked_for_is_broken() -> None:
    failure = read_whole(f'{{"choices":{list_of("{}", MOST_CHOICES + 1)}}}'.encode(), 1).failure

    assert failure is not None
    assert f"holds {MOST_CHOICES + 1} choices" in failure.message


def test_a_stream_of_too_many_events_is_no_whole_answer() -> None:
    failure = read_whole(b"data:{}\n\n" * MANY, 1).failure

    assert failure is not None
    assert "more than 100000 events" in failure.message


def test_an_answer_of_too_many_embeddings_is_broken() -> None:
    whole = embeddings.CODECS["openai-embeddings-base64", "ollama"].whole(
        f'{{"embeddings":{list_of("[1]", MANY)}}}'.encode(), 1
    )

    assert whole.failure is not None
    assert f"holds {MANY} embeddings" in whole.failure.message


def test_the_bound_is_what_the_documentation_says() -> None:
    from pathlib import Path

    assert f"{values.MOST_VALUES:,} values" in (Path(__file__).parents[3] / "docs/routing.md").read_text()
