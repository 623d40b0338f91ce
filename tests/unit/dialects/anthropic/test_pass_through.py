"""Anthropic client to Anthropic target: what passes, and what is read beside it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.dialects.anthropic.facts import read
from gridtie.dialects.codecs import codec
from gridtie.dialects.types import AnswerOptions, Failed, RequestOptions, Usage
from standins.decoded import run
from unit.dialects.anthropic.test_answer import PING, TEXT, TOOLS

CODEC = codec("anthropic", "anthropic")
OPTIONS = AnswerOptions(prompt_estimate=7)


def sent(body: dict[str, object], limit: int | None = None) -> dict[str, object]:
    facts = read(json.dumps(body).encode())
    found: dict[str, object] = json.loads(CODEC.request(facts, "m", RequestOptions(True, output_limit=limit)).body)
    return found


@pytest.mark.parametrize("events", [TEXT, TOOLS], ids=["text", "tools"])
@given(data=st.data())
def test_the_bytes_of_a_stream_pass(events: list[bytes], data: st.DataObject) -> None:
    """However they are cut, in their order, without pings; the finish and the usage are known beside them."""
    stream = b"".join(events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    out, chunks = run(CODEC.stream(OPTIONS), pieces)

    assert out.replace(PING, b"") == stream.replace(PING, b"")
    assert any(chunk.done for chunk in chunks)
    assert chunks[-1].usage == Usage(input=25, output=15)


def test_what_is_committed_passes_unread() -> None:
    """After the first content an event is not taken apart, but for those that end an answer or report of it."""
    decoder = CODEC.stream(OPTIONS)
    fed = [decoder.feed(event) for event in TEXT if event != PING]

    assert [chunk.unread for chunk in fed] == [False, False, False, True, True, False]
    assert decoder.says_something(TEXT[3])
    assert not decoder.says_something(PING)


def test_a_stream_that_breaks_after_its_finish_is_ended() -> None:
    """Nothing is missing but the end mark, which the client waits for."""
    whole = b"".join(TEXT)
    broken = whole[: whole.index(b"event: message_stop")]

    out, chunks = run(CODEC.stream(OPTIONS), [broken])

    assert out.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert chunks[-1].done


def test_a_stream_that_breaks_before_is_a_failure() -> None:
    out, chunks = run(CODEC.stream(OPTIONS), TEXT[:3])

    assert b"message_stop" not in out
    assert chunks[-1].failure is not None
    assert chunks[-1].failure.kind is Failed.BROKEN


def test_a_message_that_comes_whole_is_told_as_a_stream() -> None:
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 3, "output_tokens": 1},
    }  # fmt: skip

    out, chunks = run(CODEC.stream(OPTIONS), [json.dumps(message).encode()])

    assert [line for line in out.split(b"\n") if line.startswith(b"event")][-1] == b"event: message_stop"
    assert b'"text":"hi"' in out
    assert chunks[-1].usage == Usage(input=3, output=1)


def test_a_whole_answer_passes_and_is_metered() -> None:
    body = json.dumps(
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "content": [], "odd": 1, "usage": {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1},
        }
    ).encode()  # fmt: skip

    whole = CODEC.whole(body, 7)

    assert whole.body == body
    assert whole.usage == Usage(input=5, output=1, cached=2)


def test_a_limit_is_written_where_the_client_names_none() -> None:
    assert sent({"model": "a", "odd": [1]}, limit=9) == {"model": "m", "odd": [1], "max_tokens": 9}
    assert sent({"model": "a", "max_tokens": 5}, limit=9) == {"model": "m", "max_tokens": 5}


def test_its_own_version_goes_along() -> None:
    """A body is written for a version and its betas."""
    headers = (("anthropic-version", "2023-06-01"), ("anthropic-beta", "x"))
    facts = read(b"{}", headers, "beta=true")
    request = CODEC.request(facts, "m", RequestOptions(True))

    assert (request.headers, request.path) == (headers, "/v1/messages?beta=true")


def test_the_clients_own_fault_comes_in_upstreams_words() -> None:
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"no"}}'

    assert CODEC.failure(400, {}, body).body == body
    assert CODEC.failure(500, {}, body.replace(b"invalid_request", b"api")).body is None
    assert codec("openai", "anthropic").failure(400, {}, body).body is None


def test_reasoning_of_another_targets_answer_does_not_reach_anthropic() -> None:
    """It has no signature, and Anthropic refuses the whole conversation for it: a fallback to it never worked."""
    user = {"role": "user", "content": "go"}
    unsigned = {"type": "thinking", "thinking": "hm", "signature": ""}
    signed = unsigned | {"signature": "c2ln"}
    text = {"type": "text", "text": 'she wrote "signature": ""'}
    answers = [[unsigned, text], [signed, text], [unsigned]]
    told = [message for each in answers for message in (user, {"role": "assistant", "content": each})]

    found = sent({"model": "x", "max_tokens": 5, "messages": [*told, user]})

    left = [message["content"] for message in found["messages"] if message["role"] == "assistant"]  # type: ignore[attr-defined]
    assert left == [[text], [signed, text]]


def test_messages_without_such_reasoning_keep_their_bytes() -> None:
    """A provider's prompt cache sees the prefix that the client sent."""
    messages = b'[ {"role":"user" ,"content":[{"type":"thinking","thinking":"hm","signature":"c2ln"}]}]'
    facts = read(b'{"model":"x","max_tokens":5,"messages":%b}' % messages)

    assert messages in CODEC.request(facts, "m", RequestOptions(True)).body


def test_marks_for_the_cache_and_everything_before_them_keep_their_bytes() -> None:
    """A cache knows a prompt by its beginning: another space in it, and all of it is read and paid for again."""
    mark = b'"cache_control" : {"ttl":"1h","type":"ephemeral"}'
    system = b'[ {"type":"text","text":"\\u00e9 \\/", %b} ]' % mark
    tools = b'[{"name":"f","input_schema":{"b":1,"a":{ }}, %b}]' % mark
    messages = b'[{"content":[{"text":"hi","type":"text", %b}],"role":"user"}]' % mark
    body = b'{"model":"c","tools":%b,"system":%b,"messages":%b,"max_tokens":5}' % (tools, system, messages)

    found = CODEC.request(read(body), "m", RequestOptions(True)).body

    assert b'"tools":%b,"system":%b,"messages":%b' % (tools, system, messages) in found
