"""OpenAI to OpenAI: requests and whole answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from gridtie.config.names import canonical
from gridtie.dialects.codecs import codec
from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.openai_chat.numbers import NUMBERS
from gridtie.dialects.types import AnswerOptions, Failed, RequestOptions, Usage
from standins.decoded import ask

CODEC = codec("openai", "openai")
MESSAGES = b'[ {"role": "user",  "content": "caf\\u00e9 \\"model\\": \\"x\\" \xc3\xa9", "extra": 1.0e2} ]'


def body_of(call_for: bytes, *, stream: bool = False, include_usage: bool = True) -> dict[str, object]:
    call = ask(CODEC, call_for, "gpt-5.4-mini", stream=stream, include_usage=include_usage)
    decoded = json.loads(call.body)
    assert isinstance(decoded, dict)
    return decoded


def test_messages_keep_their_bytes() -> None:
    """Nothing below the top level is written anew: a provider's prompt cache sees the client's own prefix."""
    call = ask(CODEC, b'{"messages":' + MESSAGES + b',"model":"coder"}', "gpt")

    assert call.body == b'{"messages":' + MESSAGES + b',"model":"gpt"}'
    assert call.path == "/chat/completions"


@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":[],"model":"coder"}',
        b'{"model":"cheap","messages":[],"model":"dear"}',
        b'{"mod\\u0065l":"dear","messages":[]}',
        b'{"messages":[{"role":"user","content":"x","model":"nested"}]}',
        b'{"messages":[]}',
    ],
    ids=["plain", "twice", "escaped key", "nested only", "none"],
)
def test_upstream_sees_one_model_and_it_is_the_routers(body: bytes) -> None:
    """However a client spells or repeats it, upstream can read no other model than the one decided on."""
    call = ask(CODEC, body, "gpt-5.4-mini")
    pairs = json.loads(call.body, object_pairs_hook=list)

    assert [(key, value) for key, value in pairs if key == "model"] == [("model", "gpt-5.4-mini")]


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (None, {"include_usage": True}),
        ("null", {"include_usage": True}),
        ('{"include_usage": true}', {"include_usage": True}),
        ('{"include_usage": false}', {"include_usage": True}),
        ('{"include_obfuscation": false}', {"include_obfuscation": False, "include_usage": True}),
    ],
)
def test_a_stream_asks_for_usage(options: str | None, sent: dict[str, object]) -> None:
    """Usage is asked for in every stream, beside whatever else the client asks."""
    field = f', "stream_options": {options}' if options else ""
    body = f'{{"model":"coder","messages":[],"stream":true{field}}}'.encode()

    assert sent == body_of(body, stream=True)["stream_options"]


def test_an_endpoint_that_rejects_stream_options_never_sees_them() -> None:
    """Not even where the client sent them: its usage is estimated then."""
    body = b'{"messages":[],"stream":true,"stream_options":{"include_usage":true}}'

    assert "stream_options" not in body_of(body, stream=True, include_usage=False)


@pytest.mark.parametrize(("stream", "include_usage"), [(False, True), (True, False)])
def test_usage_is_not_asked_where_it_must_not_be(stream: bool, include_usage: bool) -> None:
    """OpenAI rejects stream_options without a stream, and some endpoints reject it altogether."""
    assert "stream_options" not in body_of(b'{"messages":[]}', stream=stream, include_usage=include_usage)


@pytest.mark.parametrize(
    ("field", "body", "sent"),
    [
        ("max_tokens", b'{"messages":[]}', 100),
        ("max_completion_tokens", b'{"messages":[]}', 100),
        ("max_tokens", b'{"messages":[],"max_tokens":7}', 7),
        ("max_tokens", b'{"messages":[],"max_completion_tokens":7}', None),
    ],
)
def test_a_limit_is_written_only_where_the_client_named_none(field: str, body: bytes, sent: int | None) -> None:
    """Under the name that the endpoint takes; a client's own limit stands, under whichever name."""
    written = CODEC.request(read(body), "m", RequestOptions(stream=False, output_limit=100, limit_field=field))

    assert json.loads(written.body).get(field) == sent


def test_a_request_is_written_from_facts_that_stay_as_they_are() -> None:
    """The next target gets the request as the client sent it."""
    facts = read(b'{"messages":[],"stream":true}')

    first, second = (CODEC.request(facts, "m", RequestOptions(stream=True, output_limit=5)).body for _ in range(2))

    assert first == second
    assert facts.fields.keys() == {"messages", "stream"}


# Fields whose values are checked.
CHECKED = {*NUMBERS, "n", "model", "stream", "stream_options", "messages", "tools", "modalities"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


# Other spellings of a field that is read are refused.
names = st.text(max_size=10).filter(lambda name: name not in CHECKED and name == canonical(name))


@given(st.dictionaries(names, json_values, max_size=6))
def test_every_other_field_arrives_as_sent(fields: dict[str, object]) -> None:
    """Whatever a client sends beside the model arrives unchanged."""
    sent = body_of(json.dumps(fields).encode())

    assert fields | {"model": "gpt-5.4-mini"} == sent


def test_a_field_that_nobody_knows_keeps_its_spelling() -> None:
    assert body_of(b'{"minP":0.1,"X-Trace":"a"}') == {"minP": 0.1, "X-Trace": "a", "model": "gpt-5.4-mini"}


WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
}


def test_a_whole_answer_passes_untouched() -> None:
    """The body is the upstream's own; usage is read beside it, details included."""
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    body = json.dumps(WHOLE | {"usage": usage}).encode()

    whole = CODEC.whole(body, 99)

    assert body == whole.body
    assert Usage(input=10, output=5, cached=4, cache_write=2, reasoning=3) == whole.usage


def test_missing_usage_is_estimated_and_says_so() -> None:
    """An answer without usage is metered as an estimate, never as zero."""
    whole = CODEC.whole(json.dumps(WHOLE | {"usage": None}).encode(), 99)

    assert whole.usage is not None
    assert (whole.usage.input, whole.usage.estimated) == (99, True)
    assert whole.usage.output > 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"error":{"message":"overloaded","type":"overloaded_error","code":503}}', Failed.BUSY),
        (b'{"error":"boom"}', Failed.BROKEN),
        (b"<html>gateway</html>", Failed.BROKEN),
        (b'{"choices":[]}', Failed.BROKEN),
        (b"{}", Failed.BROKEN),
    ],
)
def test_a_failure_in_a_200_is_a_failure(body: bytes, kind: Failed) -> None:
    """A 200 that carries an error, or nothing, is not an answer."""
    whole = CODEC.whole(body, 1)

    assert whole.failure is not None
    assert kind is whole.failure.kind


@pytest.mark.parametrize("error", ["null", "false", '""', "{}", "[]", "0", '{"message":null,"code":null}'])
@pytest.mark.parametrize("more", ['"created":1.5', '"id":7', '"service_tier":{}', '"timings":[]', '"usage":[]'])
def test_a_side_fields_oddity_costs_no_answer(error: str, more: str) -> None:
    """The answer passes, and its usage is estimated."""
    choices = json.dumps(WHOLE["choices"])
    body = f'{{"choices":{choices},"error":{error},{more}}}'.encode()

    whole = CODEC.whole(body, 99)

    assert (whole.body, whole.failure) == (body, None)
    assert whole.usage is not None
    assert (whole.usage.input, whole.usage.estimated) == (99, True)


CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "add", "arguments": '{"a"'}}
STREAMED = [
    CHUNK | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "H\u00e9"}, "finish_reason": None}]},
    CHUNK | {"choices": [{"index": 0, "delta": {"content": "llo"}}]},
    CHUNK | {"choices": [{"index": 0, "delta": {"tool_calls": [CALL]}}]},
    CHUNK | {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}}]},
    CHUNK | {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    CHUNK | {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}},
]


def events(*chunks: object) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b": bye\n\n", b""])
def test_a_stream_that_answers_a_request_for_a_whole_answer_is_used(end: bytes) -> None:
    """Some servers stream whatever they are asked."""
    whole = CODEC.whole(events(*STREAMED) + end, 99)
    completion = ChatCompletion.model_validate_json(whole.body, strict=True)
    message = completion.choices[0].message

    assert (whole.failure, whole.usage) == (None, Usage(input=4, output=2))
    assert (message.content, completion.choices[0].finish_reason) == ("H\u00e9llo", "tool_calls")
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == '{"a":1}'  # type: ignore[union-attr]  # not a custom tool


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "an HTML page"),
        (b"\n <?xml version='1.0'?>", "an XML document"),
        (b"Internal Server Error", "text"),
        (b"", "nothing"),
        (events(*STREAMED[:3]), "before the answer was complete"),
        (b"[]", "no chat completion"),
    ],
)
def test_what_came_instead_of_an_answer_is_named(body: bytes, words: str) -> None:
    """The error says what came, and quotes none of it."""
    failure = CODEC.whole(body, 1).failure

    assert failure is not None
    assert words in failure.message
    assert "Sign in" not in failure.message


def test_a_stream_can_be_collected() -> None:
    """For a client that wants a whole answer: nothing goes out until it is whole."""
    decoder = CODEC.collect(AnswerOptions(99))
    chunks = [decoder.feed(events(chunk)) for chunk in STREAMED]

    assert [bool(chunk.out) for chunk in chunks] == [False] * 5 + [True]
    assert chunks[-1].done
    assert ChatCompletion.model_validate_json(chunks[-1].out, strict=True).choices[0].message.content == "H\u00e9llo"
