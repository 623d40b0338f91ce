"""Ollama's answers to OpenAI clients; the official SDK's types judge what is written."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import AnswerOptions, Failed, StreamDecoder, Usage
from standins.decoded import run, sdk_chunks

CODEC = codec("openai", "ollama")
HEAD = {"model": "gridtie/smollm2:135m", "created_at": "2026-11-22T14:00:00.123456789Z"}
TIMES = {"total_duration": 9, "load_duration": 1, "prompt_eval_duration": 2, "eval_duration": 3}
COUNTS = {"prompt_eval_count": 31, "eval_count": 5}


def line(content: str = "", *, done: str | None = None, counts: dict[str, Any] = COUNTS, **message: object) -> bytes:
    fields = HEAD | {"message": {"role": "assistant", "content": content} | message, "done": done is not None}
    if done is not None:
        fields |= {"done_reason": done} | TIMES | counts
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


STREAM = [line("Hé"), line('llo "w\\orld"\n'), line(done="stop")]
CALL = {"id": "call_abc", "function": {"index": 0, "name": "add", "arguments": {"a": 1, "b": "é"}}}


def decoder(*, wants_usage: bool = False) -> StreamDecoder:
    return CODEC.stream(AnswerOptions(50, wants_usage=wants_usage))


def test_a_stream() -> None:
    """A role, the pieces of text, a finish and the end mark, each frame valid for the official SDK."""
    out, chunks = run(decoder(), STREAM)
    sent = sdk_chunks(out)

    assert sent[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in sent) == 'Héllo "w\\orld"\n'
    assert [chunk.choices[0].finish_reason for chunk in sent] == [None, None, None, "stop"]
    assert {(chunk.id, chunk.created, chunk.model) for chunk in sent} == {
        (sent[0].id, 1795356000, "gridtie/smollm2:135m")
    }
    assert chunks[-1].usage == Usage(input=31, output=5)


@pytest.mark.parametrize(("said", "cached"), [(24, 24), (0, 0), (None, 0), (400, 31), (-1, 0), ("24", 0)])
def test_what_came_from_the_prompt_cache_is_metered(said: object, cached: int) -> None:
    """Ollama says it since 0.34; before, and where it makes no sense, nothing is said to be cached."""
    counts = COUNTS | ({} if said is None else {"prompt_eval_cached_count": said})
    _, chunks = run(decoder(), [line("Hi"), line(done="stop", counts=counts)])

    assert chunks[-1].usage == Usage(input=31, output=5, cached=cached)


def test_an_ollama_client_is_told_of_the_cache_of_another_target() -> None:
    """Under Ollama's own name for it."""
    answer = {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "type": "message", "id": "m"}
    usage = {"input_tokens": 4, "output_tokens": 2, "cache_read_input_tokens": 16, "cache_creation_input_tokens": 1}
    whole = codec("ollama", "anthropic").whole(json.dumps(answer | {"usage": usage}).encode(), 1)

    told = json.loads(whole.body)
    assert (told["prompt_eval_count"], told["prompt_eval_cached_count"]) == (21, 16)
    assert whole.usage == Usage(input=21, output=2, cached=16, cache_write=1)


def test_usage_is_a_frame_where_the_client_asked() -> None:
    """The last frame before the end mark carries nothing but usage."""
    out, _ = run(decoder(wants_usage=True), STREAM)
    last = sdk_chunks(out)[-1]

    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (31, 5, 36)


@given(st.lists(st.integers(min_value=0), max_size=20))
def test_any_cut_gives_the_same_answer(at: list[int]) -> None:
    """However the network cuts a stream, also inside a character, the same bytes come out."""
    data = b"".join(STREAM)
    bounds = [0, *sorted(point % len(data) for point in at), len(data)]
    whole, _ = run(decoder(), [data])

    out, chunks = run(decoder(), (data[a:b] for a, b in itertools.pairwise(bounds)))

    assert (out, chunks[-1].usage, chunks[-1].failure) == (whole, Usage(input=31, output=5), None)


def test_tool_calls() -> None:
    """Calls get an index, an id and their arguments as text; the finish says so."""
    unnamed = {"function": {"name": "now", "arguments": {}}}
    out, _ = run(decoder(), [line(tool_calls=[CALL]), line(tool_calls=[unnamed]), line(done="stop")])
    sent = sdk_chunks(out)
    calls = [call for chunk in sent for call in chunk.choices[0].delta.tool_calls or ()]

    assert [(call.index, call.function.name if call.function else None) for call in calls] == [(0, "add"), (1, "now")]
    assert calls[0].id == "call_abc"
    assert calls[0].function is not None
    assert json.loads(calls[0].function.arguments or "") == {"a": 1, "b": "é"}
    assert sent[-1].choices[0].finish_reason == "tool_calls"


def test_an_id_that_ollama_did_not_give_is_stable() -> None:
    """The same answer read twice names its calls alike, and two calls differ."""
    unnamed = {"function": {"name": "now", "arguments": {}}}
    lines = [line(tool_calls=[unnamed, unnamed]), line(done="stop")]

    first, second = (run(decoder(), lines)[0] for _ in range(2))
    ids = [call.id for chunk in sdk_chunks(first) for call in chunk.choices[0].delta.tool_calls or ()]

    assert first == second
    assert len(set(ids)) == 2


def test_tool_calls_in_the_last_line() -> None:
    """Ollama puts the calls of a native chat into its last line."""
    out, _ = run(decoder(), [line("", tool_calls=[CALL], done="stop")])

    assert sdk_chunks(out)[-1].choices[0].finish_reason == "tool_calls"


def test_thinking_becomes_reasoning() -> None:
    """Thinking is passed under the name that clients of open models read."""
    out, _ = run(decoder(), [line(thinking="hm"), line("4"), line(done="stop")])
    deltas = [chunk.choices[0].delta for chunk in sdk_chunks(out)]

    assert [getattr(delta, "reasoning_content", None) for delta in deltas] == [None, "hm", None, None]


def test_length() -> None:
    """An answer that met its limit says so."""
    out, _ = run(decoder(), [line("a"), line(done="length")])

    assert sdk_chunks(out)[-1].choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("piece", "content"),
    [
        (line(""), False),
        (line("a"), True),
        (line(thinking="hm"), True),
        (line(tool_calls=[CALL]), True),
        (line(done="stop"), True),
    ],
)
def test_what_commits(piece: bytes, content: bool) -> None:
    """Text, thinking, a call or a clean end commits; an empty line does not, and nothing is sent for it."""
    chunk = decoder().feed(piece)

    assert (chunk.content, bool(chunk.out)) == (content, content)


def test_no_done_is_a_failure() -> None:
    """A stream that ends without `done: true` broke off; what was said is metered as an estimate."""
    out, chunks = run(decoder(), STREAM[:2])

    assert chunks[-1].failure is not None
    assert Failed.BROKEN is chunks[-1].failure.kind
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.input, chunks[-1].usage.estimated) == (50, True)
    assert b"[DONE]" not in out


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("an error was encountered while running the model: CUDA error", Failed.BROKEN),
        ("llama-server chat error: map[code:500]", Failed.BROKEN),
        ("server busy, please try again.  maximum pending requests exceeded", Failed.BUSY),
    ],
)
@pytest.mark.parametrize("before", [b"", STREAM[0]])
def test_an_error_line_inside_a_200_is_a_failure(before: bytes, text: str, kind: Failed) -> None:
    """Ollama reports what goes wrong after the start inside the stream."""
    stream = decoder()
    stream.feed(before)

    chunk = stream.feed(json.dumps({"error": text}).encode() + b"\n")

    assert chunk.failure is not None
    assert (chunk.failure.kind, chunk.failure.detail, chunk.out) == (kind, " ".join(text.split()), b"")


@pytest.mark.parametrize("junk", [b"<html>\n", b"[]\n", b'{"message":{"content":{}}}x\n', b'{"done":"yes"}\n'])
def test_junk_is_a_failure(junk: bytes) -> None:
    """Something else than Ollama answered."""
    chunk = decoder().feed(junk)

    assert chunk.failure is not None
    assert Failed.BROKEN is chunk.failure.kind


def test_missing_counts_are_estimated() -> None:
    """Where the server counted nothing the figures are flagged."""
    _, chunks = run(decoder(), [line("eight by"), line(done="stop", counts={})])

    assert chunks[-1].usage == Usage(input=50, output=2, estimated=True)


def test_a_whole_answer() -> None:
    """An unstreamed answer is a chat completion that the official SDK accepts."""
    body = line("Hé", thinking="hm", tool_calls=[CALL], done="stop")

    whole = CODEC.whole(body, 50)
    completion = ChatCompletion.model_validate_json(whole.body, strict=True)
    message = completion.choices[0].message

    assert whole.usage == Usage(input=31, output=5)
    assert (message.content, getattr(message, "reasoning_content", None)) == ("Hé", "hm")
    assert message.tool_calls is not None
    assert message.tool_calls[0].id == "call_abc"
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 36


@pytest.mark.parametrize("body", [line("half"), b'{"error":"boom"}', b"<html>", b"{}"])
def test_a_whole_answer_that_is_none(body: bytes) -> None:
    """A 200 without `done: true` is not an answer."""
    assert CODEC.whole(body, 1).failure is not None


def test_one_tool_call_an_answer_where_the_client_wants_no_more() -> None:
    """Ollama cannot be told, so the first call is passed on and the others are not."""
    unnamed = {"function": {"name": "now", "arguments": {}}}
    stream = CODEC.stream(AnswerOptions(50, one_tool_call=True))
    out, _ = run(stream, [line(tool_calls=[CALL, unnamed]), line(tool_calls=[unnamed]), line(done="stop")])
    calls = [call for chunk in sdk_chunks(out) for call in chunk.choices[0].delta.tool_calls or ()]

    assert [call.id for call in calls] == ["call_abc"]


@pytest.mark.parametrize(("arguments", "text"), [(None, "{}"), ('{"a":1}', '{"a":1}'), ({}, "{}")])
def test_arguments_are_an_objects_json(arguments: object, text: str) -> None:
    """Null is no arguments, and a string is what it says."""
    call = {"function": {"name": "now", "arguments": arguments}}
    out, _ = run(decoder(), [line(tool_calls=[call], done="stop")])
    calls = [call for chunk in sdk_chunks(out) for call in chunk.choices[0].delta.tool_calls or ()]

    assert calls[0].function is not None
    assert calls[0].function.arguments == text


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"prompt_eval_count": 31}, Usage(input=31, output=2, estimated=True)),
        ({"eval_count": 5}, Usage(input=50, output=5, estimated=True)),
        ({"prompt_eval_count": 31.0, "eval_count": 5}, Usage(input=31, output=5, estimated=True)),
        ({"prompt_eval_count": "31", "eval_count": 5}, Usage(input=50, output=5, estimated=True)),
        ({"prompt_eval_count": -1, "eval_count": 10**30}, Usage(input=50, output=2, estimated=True)),
    ],
)
def test_each_count_that_is_none_is_estimated(counts: dict[str, Any], usage: Usage) -> None:
    """What is sound is kept, and the figure is flagged."""
    _, chunks = run(decoder(), [line("eight by"), line(done="stop", counts=counts)])

    assert chunks[-1].usage == usage


@pytest.mark.parametrize(
    "odd",
    [{"created_at": 5}, {"model": None}, {"error": ""}, {"error": None}, {"error": {}}, {"error": False}],
)
def test_a_side_fields_oddity_costs_no_answer(odd: dict[str, object]) -> None:
    """The answer passes."""
    pieces = [json.dumps(json.loads(each) | odd).encode() + b"\n" for each in STREAM]
    out, chunks = run(decoder(), pieces)

    assert (chunks[-1].failure, len(sdk_chunks(out))) == (None, 4)


def test_a_collected_answer_is_the_whole_one() -> None:
    """Asked to stream, for a client that wants it whole: nothing goes out before the end."""
    stream = CODEC.collect(AnswerOptions(50))
    pieces = [line("H\u00e9", thinking="hm"), line('llo "w"'), line(tool_calls=[CALL]), line(done="stop")]
    chunks = [stream.feed(piece) for piece in pieces]
    completion = ChatCompletion.model_validate_json(chunks[-1].out, strict=True)
    message = completion.choices[0].message

    assert [bool(chunk.out) for chunk in chunks] == [False, False, False, True]
    assert [chunk.content for chunk in chunks] == [True] * 4
    assert (message.content, getattr(message, "reasoning_content", None)) == ('H\u00e9llo "w"', "hm")
    assert message.tool_calls is not None
    assert (completion.choices[0].finish_reason, chunks[-1].usage) == ("tool_calls", Usage(input=31, output=5))


def test_a_collected_answer_is_bounded() -> None:
    """An endless one is a failure, and not a full memory."""
    stream = CODEC.collect(AnswerOptions(50))
    piece = line("x" * 1_000_000)

    failures = [chunk.failure for chunk in (stream.feed(piece) for _ in range(18)) if chunk.failure]

    assert [failure.kind for failure in failures] == [Failed.BROKEN]


def test_what_came_instead_of_a_stream_is_named() -> None:
    """A sign-in page is called one."""
    failure = decoder().feed(b"<!DOCTYPE html><title>Sign in</title>").failure

    assert failure is not None
    assert "an HTML page instead of a stream" in failure.message


def test_a_last_line_that_is_cut_after_done_changes_nothing() -> None:
    """`done: true` is the end."""
    out, chunks = run(decoder(), [*STREAM, b'{"mess'])

    assert (out.endswith(b"data: [DONE]\n\n"), chunks[-1].failure) == (True, None)


class TestADemandedCall:
    """tool_choice: required. Ollama cannot be told, so its answer is judged."""

    SAYS = b'{"model":"m","created_at":"2026-11-29T00:00:00Z","message":{"content":"Let me see."},"done":false}\n'
    CALLS = (
        b'{"model":"m","created_at":"2026-11-29T00:00:00Z","message":{"content":"",'
        b'"tool_calls":[{"function":{"name":"add","arguments":{"a":1}}}]},"done":false}\n'
    )
    ENDS = b'{"model":"m","created_at":"2026-11-29T00:00:00Z","done":true,"prompt_eval_count":5,"eval_count":3}\n'

    def decoder(self) -> StreamDecoder:
        return codec("openai", "ollama").stream(AnswerOptions(1, must_call=True))

    def test_nothing_passes_before_the_call_and_all_of_it_with_it(self) -> None:
        decoder = self.decoder()

        before, called, ended = (decoder.feed(line) for line in (self.SAYS, self.CALLS, self.ENDS))

        assert (before.content, before.withheld, before.out) == (False, True, b"")
        assert (called.content, called.withheld) == (True, False)
        assert b"Let me see." in called.out
        assert b'"tool_calls"' in called.out
        assert (ended.done, ended.failure) == (True, None)

    def test_an_answer_without_one_is_a_failure_that_another_target_may_mend(self) -> None:
        decoder = self.decoder()
        decoder.feed(self.SAYS)

        ended = decoder.feed(self.ENDS)

        assert ended.failure is not None
        assert (ended.failure.kind, ended.done) == (Failed.CAPABILITY, False)
        assert "tool_choice" in ended.failure.message


def test_an_end_that_is_no_utf_8_ends_the_answer_all_the_same() -> None:
    decoder = codec("openai", "ollama").stream(AnswerOptions(1))
    decoder.feed(TestADemandedCall.SAYS)

    ended = decoder.feed(TestADemandedCall.ENDS.replace(b'"done":true', b'"done":true,"done_reason":"\xff"'))

    assert (ended.done, ended.failure) == (True, None)
    assert ended.usage is not None
    assert ended.usage.estimated
