"""Half a character in a request or an answer costs no more than that character."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.dialects.anthropic import facts as anthropic
from gridtie.dialects.codecs import codec
from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama import facts as ollama
from gridtie.dialects.openai_chat import errors
from gridtie.dialects.openai_chat import facts as openai_chat
from gridtie.dialects.openai_responses import facts as openai_responses
from gridtie.dialects.surrogates import mended, without_halves
from gridtie.dialects.types import AnswerOptions, Dialect, InvalidRequest, RequestOptions

HALF = "cut \ud83d here \\ud83d \U0001f600"
MENDED = "cut \ufffd here \\ud83d \U0001f600"
ERROR = msgspec.DecodeError("no")

# As `json.dumps` writes it: half a pair as one escape, the whole one as two.
OPENAI = [
    {"choices": [{"index": 0, "delta": {"content": HALF}}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
]
OLLAMA = [{"model": "m", "message": {"content": HALF}, "done": False}, {"model": "m", "done": True, "eval_count": 3}]
ANTHROPIC = [
    {"type": "message_start", "message": {"id": "msg", "model": "m"}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": HALF}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
]
OPENAI_WHOLE = {
    "choices": [{"message": {"role": "assistant", "content": HALF}, "finish_reason": "stop"}],
    "usage": None,
}
ANTHROPIC_WHOLE = {"type": "message", "content": [{"type": "text", "text": HALF}], "stop_reason": "end_turn"}


def events(*documents: object) -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in documents)


STREAMS: dict[Dialect, bytes] = {
    "openai": events(*OPENAI) + b"data: [DONE]\n\n",
    "ollama": b"".join(json.dumps(each).encode() + b"\n" for each in OLLAMA),
    "anthropic": events(*ANTHROPIC),
}
WHOLE: dict[Dialect, bytes] = {
    "openai": json.dumps(OPENAI_WHOLE).encode(),
    "ollama": json.dumps({"model": "m", "message": {"content": HALF}, "done": True}).encode(),
    "anthropic": json.dumps(ANTHROPIC_WHOLE).encode(),
}


def said(stream: bytes) -> str:
    frames = [json.loads(data) for data in re.findall(rb"^data: (\{.*\})$", stream, re.MULTILINE)]
    return "".join(frame["choices"][0]["delta"].get("content") or "" for frame in frames if frame["choices"])


@pytest.mark.parametrize("cut", [1, 7, 10_000])
@pytest.mark.parametrize("target", ["ollama", "anthropic"])
def test_a_translated_stream_goes_on_with_a_replacement(target: Dialect, cut: int) -> None:
    decoder = codec("openai", target).stream(AnswerOptions(1))
    data = STREAMS[target]
    chunks = [decoder.feed(data[at : at + cut]) for at in range(0, len(data), cut)]
    chunks.append(decoder.eof())

    assert [chunk.failure for chunk in chunks if chunk.failure is not None] == []
    assert any(chunk.done for chunk in chunks)
    assert said(b"".join(chunk.out for chunk in chunks)) == MENDED


@pytest.mark.parametrize("target", ["openai", "ollama", "anthropic"])
@pytest.mark.parametrize("form", [STREAMS, WHOLE], ids=["of a stream", "of a whole answer"])
def test_a_collected_answer_holds_a_replacement(target: Dialect, form: dict[Dialect, bytes]) -> None:
    decoder = codec("openai", target).collect(AnswerOptions(1))
    chunk = decoder.feed(form[target])
    chunk = chunk if chunk.done else decoder.eof()

    assert chunk.failure is None
    assert json.loads(chunk.out)["choices"][0]["message"]["content"] == MENDED


@pytest.mark.parametrize("stream", [STREAMS["openai"], STREAMS["openai"] * 2], ids=["in one", "and more"])
def test_what_is_passed_on_keeps_its_bytes(stream: bytes) -> None:
    decoder = codec("openai", "openai").stream(AnswerOptions(1, wants_usage=True))
    chunk = decoder.feed(stream)

    assert (chunk.failure, chunk.done) == (None, True)
    assert chunk.out == STREAMS["openai"]

    whole = codec("openai", "openai").whole(WHOLE["openai"], 1)
    assert (whole.failure, whole.body) == (None, WHOLE["openai"])
    assert whole.usage is not None


@pytest.mark.parametrize("target", ["openai", "anthropic", "ollama"])
def test_an_answer_in_another_form_than_was_asked_for_is_used_all_the_same(target: Dialect) -> None:
    whole = codec("openai", target).whole(STREAMS[target], 1)
    assert whole.failure is None
    assert json.loads(whole.body)["choices"][0]["message"]["content"] == MENDED

    decoder = codec("openai", target).stream(AnswerOptions(1))
    first, last = decoder.feed(WHOLE[target]), decoder.eof()
    assert (first.failure, last.failure) == (None, None)
    assert said(first.out + last.out) == MENDED


def test_arguments_and_names_are_mended_as_texts_are() -> None:
    calls = [{"function": {"name": "f\udc00", "arguments": {"a": "\ud800"}}}]
    line = json.dumps({"model": "m", "message": {"tool_calls": calls}, "done": True}).encode()
    answer = json.loads(codec("openai", "ollama").whole(line, 1).body)
    function = answer["choices"][0]["message"]["tool_calls"][0]["function"]

    assert function["name"] == "f\ufffd"
    assert json.loads(function["arguments"]) == {"a": "\ufffd"}


def test_an_error_is_read_in_spite_of_it() -> None:
    error = errors.read(rb'{"error": {"message": "no \ud800", "code": "context_length_exceeded"}}')

    assert (error.message, error.code) == ("no \ufffd", "context_length_exceeded")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (rb'"\ud800"', rb'"\ufffd"'),
        (rb'"\uDBFF\uD800\uDC00"', rb'"\ufffd\uD800\uDC00"'),
        (rb'"\udc00\ud800"', rb'"\ufffd\ufffd"'),
        (rb'"\\ud800\\\ud800"', rb'"\\ud800\\\ufffd"'),
        (b'"\xed\xa0\x80"', '"\ufffd\ufffd\ufffd"'.encode()),
    ],
)
def test_halves_alone_are_replaced(data: bytes, text: bytes) -> None:
    assert mended(data, ERROR) == text


ASK = [{"role": "user", "content": HALF}]
REQUESTS: dict[Dialect, tuple[Callable[[bytes], Facts], dict[str, object]]] = {
    "openai": (openai_chat.read, {"messages": ASK}),
    "anthropic": (anthropic.read, {"messages": ASK, "max_tokens": 9}),
    "ollama": (ollama.read_chat, {"messages": ASK}),
    "ollama-generate": (ollama.read_generate, {"prompt": HALF}),
    "openai-responses": (openai_responses.read, {"input": HALF}),
}
MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize("target", ["openai", "anthropic", "ollama"])
@pytest.mark.parametrize("client", REQUESTS)
@pytest.mark.parametrize("before", [b"", MARK], ids=["", "behind a mark"])
def test_a_text_that_a_client_has_cut_reaches_every_target_with_a_replacement(
    client: Dialect, target: Dialect, before: bytes
) -> None:
    """Claude Code does so in long conversations; Anthropic answers 400 to each further request of them."""
    read, body = REQUESTS[client]
    facts = read(before + json.dumps({"model": "m", **body}).encode())
    sent = json.loads(codec(client, target).request(facts, "there", RequestOptions(stream=False)).body)

    assert json.dumps(MENDED)[1:-1] in json.dumps(sent)
    assert not re.search("[\ud800-\udfff]", str(sent))


def test_what_is_measured_of_a_text_is_what_it_was() -> None:
    cut, whole = (
        openai_chat.read(json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode())
        for text in ("cut \ud83d", "cut \ufffd")
    )

    assert cut == whole


@pytest.mark.parametrize(
    "body",
    [b'{"model": "\xed\xa0\x80"}', rb'{"model": "\ud83"}', rb'{"model": "\ud8zz"}', rb'{"model": "\ud83d"', b"\\ud83d"],
)
def test_what_is_no_json_is_refused_as_before(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        openai_chat.read(body)


@pytest.mark.parametrize(
    "unit", [b"\\\\", b"\\", rb"\ud83d", rb"\ud83d\ude00", rb"\\\ud83d", rb"\ud8zz", b"a"], ids=repr
)
def test_a_large_body_of_whatever_is_looked_through_in_one_go(unit: bytes) -> None:
    data = b'{"model": "' + unit * ((8 << 20) // len(unit)) + rb"\ud83d"
    begun = time.process_time()
    without_halves(data)

    assert time.process_time() - begun < 2.0


@given(st.text() | st.text(st.characters(codec=None, categories=["Cs", "Lu"])))
def test_what_is_mended_can_be_read_and_what_can_be_read_is_not_mended(text: str) -> None:
    data = json.dumps(text).encode()
    try:
        found = mended(data, ERROR)
    except msgspec.DecodeError:
        found = data
    # Two halves that are written side by side are one character to every reader.
    assert msgspec.json.decode(found) == re.sub("[\ud800-\udfff]", "\ufffd", json.loads(data))
