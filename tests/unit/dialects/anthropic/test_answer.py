"""Anthropic's answers to OpenAI clients.

The SDK of either side judges: Anthropic's that the events are real ones, OpenAI's that the frames are.
"""

from __future__ import annotations

import itertools
import json

import pydantic
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import AnswerOptions, Failed, StreamDecoder, Usage
from standins.decoded import run, sdk_chunks

CODEC = codec("openai", "anthropic")
REAL_EVENT = pydantic.TypeAdapter[RawMessageStreamEvent](RawMessageStreamEvent)
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-5-5", "content": [],
    "stop_reason": None, "stop_sequence": None,
}  # fmt: skip


def event(type: str, **fields: object) -> bytes:
    data = json.dumps({"type": type} | fields, ensure_ascii=False)
    if type not in ("ping", "error"):
        REAL_EVENT.validate_json(data)
    return f"event: {type}\ndata: {data}\n\n".encode()


def start(**usage: int) -> bytes:
    return event("message_start", message=MESSAGE | {"usage": {"input_tokens": 25, "output_tokens": 1} | usage})


def opened(index: int, **block: object) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, **fields: object) -> bytes:
    return event("content_block_delta", index=index, delta=fields)


def closed(index: int) -> bytes:
    return event("content_block_stop", index=index)


def stopped(reason: str = "end_turn", output_tokens: int = 15, **more: object) -> bytes:
    stop = {"stop_reason": reason, "stop_sequence": None} | more
    return event("message_delta", delta=stop, usage={"output_tokens": output_tokens}) + event("message_stop")


PING = event("ping")
TEXT = [
    start(), opened(0, type="text", text=""), PING, delta(0, type="text_delta", text="Hé"),
    delta(0, type="text_delta", text='llo "w"\n'), closed(0), stopped(),
]  # fmt: skip
TOOLS = [
    start(),
    opened(0, type="text", text=""), delta(0, type="text_delta", text="Let me see."), closed(0),
    opened(1, type="tool_use", id="toolu_1", name="add", input={}),
    delta(1, type="input_json_delta", partial_json=""),
    delta(1, type="input_json_delta", partial_json='{"a": '),
    delta(1, type="input_json_delta", partial_json="1}"),
    closed(1),
    opened(2, type="tool_use", id="toolu_2", name="now", input={}),
    delta(2, type="input_json_delta", partial_json=""),
    closed(2),
    stopped("tool_use"),
]  # fmt: skip


def decoder(*, wants_usage: bool = False) -> StreamDecoder:
    return CODEC.stream(AnswerOptions(50, wants_usage=wants_usage, created=1795356000))


def test_a_stream() -> None:
    """A role, the pieces of text, a finish and the end mark, each frame valid for OpenAI's SDK."""
    out, chunks = run(decoder(), TEXT)
    sent = sdk_chunks(out)

    assert sent[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in sent) == 'Héllo "w"\n'
    assert [chunk.choices[0].finish_reason for chunk in sent] == [None, None, None, "stop"]
    assert {(chunk.id, chunk.created, chunk.model) for chunk in sent} == {("msg_1", 1795356000, "claude-haiku-5-5")}
    assert chunks[-1].usage == Usage(input=25, output=15)


def test_cached_tokens_are_among_the_input() -> None:
    """Anthropic counts them beside its input tokens, OpenAI among its prompt tokens."""
    counts = {"cache_read_input_tokens": 100, "cache_creation_input_tokens": 10}
    out, chunks = run(decoder(wants_usage=True), [start(**counts), *TEXT[1:]])
    usage = sdk_chunks(out)[-1].usage

    assert chunks[-1].usage == Usage(input=135, output=15, cached=100, cache_write=10)
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.total_tokens) == (135, 100, 150)


@given(st.lists(st.integers(min_value=0), max_size=20), st.sampled_from([TEXT, TOOLS]))
def test_any_cut_gives_the_same_answer(at: list[int], pieces: list[bytes]) -> None:
    """However the network cuts a stream, the same bytes come out."""
    data = b"".join(pieces)
    bounds = [0, *sorted(point % len(data) for point in at), len(data)]
    whole, _ = run(decoder(), [data])

    out, chunks = run(decoder(), (data[a:b] for a, b in itertools.pairwise(bounds)))

    assert (out, chunks[-1].usage, chunks[-1].failure) == (whole, Usage(input=25, output=15), None)


def test_tool_calls() -> None:
    """Calls are counted on their own, text blocks aside; one without parameters gets an empty object."""
    out, _ = run(decoder(), TOOLS)
    sent = sdk_chunks(out)
    calls: dict[int, list[str]] = {}
    for chunk in sent:
        for call in chunk.choices[0].delta.tool_calls or ():
            assert call.function is not None
            calls.setdefault(call.index, []).append(
                f"{call.id or ''}{call.function.name or ''}{call.function.arguments}"
            )

    assert {index: "".join(pieces) for index, pieces in calls.items()} == {0: 'toolu_1add{"a": 1}', 1: "toolu_2now{}"}
    assert sent[-1].choices[0].finish_reason == "tool_calls"


def test_thinking_becomes_reasoning() -> None:
    """Thinking passes under the name that clients of open models read; its signature does not."""
    pieces = [
        start(),
        opened(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="hm"),
        delta(0, type="signature_delta", signature="c2ln"),
        closed(0),
        opened(1, type="redacted_thinking", data="eA=="),
        closed(1),
        *TEXT[1:],
    ]
    out, _ = run(decoder(), pieces)
    reasoning = [getattr(chunk.choices[0].delta, "reasoning_content", None) for chunk in sdk_chunks(out)]

    assert reasoning == [None, "hm", None, None, None]
    assert b"c2ln" not in out


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "stop"),
        ("refusal", "content_filter"),
    ],
)
def test_finish(reason: str, finish: str) -> None:
    """Every way to stop has OpenAI's word for it."""
    out, _ = run(decoder(), [start(), stopped(reason)])

    assert sdk_chunks(out)[-1].choices[0].finish_reason == finish


def test_a_refusal_is_explained() -> None:
    """Why the model declined is passed on as a refusal."""
    details = {"type": "refusal", "category": "cyber", "explanation": "not this"}
    out, _ = run(decoder(), [start(), stopped("refusal", stop_details=details)])

    assert [chunk.choices[0].delta.refusal for chunk in sdk_chunks(out)] == [None, "not this", None]


@pytest.mark.parametrize(
    ("piece", "content"),
    [
        (PING, False),
        (opened(0, type="text", text=""), False),
        (event("content_block_stop", index=0), False),
        (b'event: news\ndata: {"type":"news","thing":[1]}\n\n', False),
        (delta(0, type="text_delta", text="a"), True),
        (delta(0, type="thinking_delta", thinking="a"), True),
        (opened(0, type="tool_use", id="t", name="f", input={}), True),
        (stopped(), True),
    ],
)
def test_what_commits(piece: bytes, content: bool) -> None:
    """Text, thinking, a call or a clean end commits; a ping or an event that we do not know does not."""
    stream = decoder()
    assert stream.feed(start()).content is False

    chunk = stream.feed(piece)

    assert (chunk.content, bool(chunk.out)) == (content, content)


@pytest.mark.parametrize("kept", [0, 1, 4, 6])
def test_a_stream_without_its_end_is_a_failure(kept: int) -> None:
    """An answer that breaks off is a failure; the prompt's exact count is kept, the rest is an estimate."""
    _, chunks = run(decoder(), TEXT[:kept])

    assert chunks[-1].failure is not None
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.input, chunks[-1].usage.estimated) == (25 if kept else 50, True)


@pytest.mark.parametrize(
    ("type", "kind"),
    [("overloaded_error", Failed.BUSY), ("api_error", Failed.BROKEN), ("rate_limit_error", Failed.BUSY)],
)
@pytest.mark.parametrize("before", [b"", b"".join(TEXT[:4])])
def test_an_error_inside_a_200_is_a_failure(before: bytes, type: str, kind: Failed) -> None:
    """Anthropic reports what goes wrong after the start inside the stream."""
    stream = decoder()
    stream.feed(before)

    chunk = stream.feed(event("error", error={"type": type, "message": "Overloaded"}))

    assert chunk.failure is not None
    assert (chunk.failure.kind, chunk.failure.detail, chunk.out) == (kind, "Overloaded", b"")


@pytest.mark.parametrize("junk", [b"data: <html>\n\n", b"data: []\n\n", b"<html>\n\n", b"data: [DONE]\n\n"])
def test_junk_is_a_failure(junk: bytes) -> None:
    """Something else than Anthropic answered."""
    _, chunks = run(decoder(), [junk])

    assert any(chunk.failure for chunk in chunks)


WHOLE = MESSAGE | {
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "Hé", "citations": None},
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 25, "output_tokens": 15, "output_tokens_details": {"thinking_tokens": 4}},
}


def test_a_whole_answer() -> None:
    """An unstreamed message is a chat completion that OpenAI's SDK accepts."""
    Message.model_validate(WHOLE)

    whole = CODEC.whole(json.dumps(WHOLE).encode(), 50)
    completion = ChatCompletion.model_validate_json(whole.body, strict=True)
    message = completion.choices[0].message

    assert whole.usage == Usage(input=25, output=15, reasoning=4)
    assert (completion.id, message.content, getattr(message, "reasoning_content", None)) == ("msg_1", "Hé", "hm")
    assert message.tool_calls is not None
    assert json.loads(message.tool_calls[0].function.arguments) == {"a": 1}  # type: ignore[union-attr]  # not a custom tool
    assert completion.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b'{"type":"error","error":{"type":"api_error","message":"boom"}}',
        b'{"type":"message","content":[]}',
        b'{"choices":[]}',
    ],
)
def test_a_whole_answer_that_is_none(body: bytes) -> None:
    """A 200 that carries no whole message is not an answer."""
    assert CODEC.whole(body, 1).failure is not None


STOPPED = event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 15})


@pytest.mark.parametrize("cut", [b"", b"event: message_st", b"event: message_stop\n", b"\x00\n\n"])
def test_an_answer_that_finished_is_whole_whatever_breaks_after_it(cut: bytes) -> None:
    """`stop_reason` says that it is; `message_stop` says it again."""
    stream = decoder()
    chunks = [stream.feed(piece) for piece in (*TEXT[:-1], STOPPED)]
    assert stream.whole_at_end()
    chunks += [stream.feed(cut), stream.eof()]
    out = b"".join(chunk.out for chunk in chunks)

    assert sdk_chunks(out)[-1].choices[0].finish_reason == "stop"
    assert (chunks[-1].failure, chunks[-1].usage) == (None, Usage(input=25, output=15))


@pytest.mark.parametrize(
    ("first", "last", "usage"),
    [
        ({"input_tokens": 25.0}, {"output_tokens": 15}, Usage(input=25, output=15, estimated=True)),
        ({"input_tokens": "25"}, {"output_tokens": 15}, Usage(input=50, output=15, estimated=True)),
        ({"input_tokens": 25}, {"output_tokens": -1}, Usage(input=25, output=2, estimated=True)),
        ({"input_tokens": 25}, {}, Usage(input=25, output=2, estimated=True)),
        ([], None, Usage(input=50, output=2, estimated=True)),
    ],
)
def test_each_count_that_is_none_is_estimated(first: object, last: object, usage: Usage) -> None:
    """What is sound is kept, the figure is flagged, and the answer passes."""
    begin = {"type": "message_start", "message": MESSAGE | {"usage": first}}
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last}
    pieces = [f"data: {json.dumps(each)}\n\n".encode() for each in (begin, stop)]
    said = delta(0, type="text_delta", text="eight by")
    out, chunks = run(decoder(), [pieces[0], said, pieces[1], event("message_stop")])

    assert sdk_chunks(out)
    assert (chunks[-1].failure, chunks[-1].usage) == (None, usage)


@pytest.mark.parametrize("error", [None, False, "", {}])
def test_an_error_that_is_none_is_no_failure(error: object) -> None:
    """A field alone is not an error."""
    odd = {"type": "message_delta", "delta": {}, "error": error}
    _, chunks = run(decoder(), [*TEXT[:-1], f"data: {json.dumps(odd)}\n\n".encode(), TEXT[-1]])

    assert chunks[-1].failure is None


def test_pings_do_not_count() -> None:
    """Nor do comments: a connection that is alive is not an answer."""
    stream = decoder()
    chunks = [stream.feed(data) for data in (start(), PING * 64, b": hello\n\n" * 64)]

    assert [(chunk.content, chunk.frames, chunk.out) for chunk in chunks] == [
        (False, 1, b""), (False, 0, b""), (False, 0, b"")
    ]  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("size", [1, 10_000])
def test_a_whole_message_to_a_request_for_a_stream_is_used(size: int, indent: int | None) -> None:
    """It becomes the stream that says the same."""
    body = json.dumps(WHOLE, indent=indent).encode()
    out, chunks = run(decoder(), (body[start : start + size] for start in range(0, len(body), size)))
    sent = sdk_chunks(out)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in sent) == "H\u00e9"
    assert (sent[-1].choices[0].finish_reason, chunks[-1].usage) == (
        "tool_calls",
        Usage(input=25, output=15, reasoning=4),
    )


def test_a_collected_stream_is_the_whole_answer() -> None:
    """Pieces of arguments are joined, and a call without any gets an empty object."""
    stream = CODEC.collect(AnswerOptions(50, created=1))
    chunks = [stream.feed(piece) for piece in TOOLS]
    completion = ChatCompletion.model_validate_json(chunks[-1].out, strict=True)
    calls = completion.choices[0].message.tool_calls

    assert [bool(chunk.out) for chunk in chunks] == [False] * (len(TOOLS) - 1) + [True]
    assert calls is not None
    assert [call.function.arguments for call in calls] == ['{"a": 1}', "{}"]  # type: ignore[union-attr]  # no custom tool
    assert completion.choices[0].message.content == "Let me see."
