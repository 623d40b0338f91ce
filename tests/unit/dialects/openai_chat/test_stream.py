"""OpenAI to OpenAI: streams."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import AnswerOptions, Chunk, Failed, StreamDecoder, Usage
from standins.decoded import sdk_chunks

CODEC = codec("openai", "openai")
DONE = b"data: [DONE]\n\n"


def frame(delta: dict[str, object] | None = None, finish: str | None = None, **more: object) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    fields = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "choices": choices}
    return b"data: " + json.dumps(fields | more, separators=(",", ":")).encode() + b"\n\n"


ROLE = frame({"role": "assistant", "content": ""})
HELLO, WORLD = frame({"content": "Hello"}), frame({"content": ' "usage": error world'})
STOP = frame({}, "stop")
USAGE = frame(usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
ANSWER = ROLE + HELLO + WORLD + STOP


def decoder(*, wants_usage: bool = False) -> StreamDecoder:
    return CODEC.stream(AnswerOptions(50, wants_usage=wants_usage))


def run(decoder: StreamDecoder, *pieces: bytes) -> tuple[bytes, list[Chunk]]:
    chunks = [decoder.feed(piece) for piece in pieces]
    chunks.append(decoder.eof())
    return b"".join(chunk.out for chunk in chunks), chunks


def test_bytes_pass_untouched() -> None:
    """An answer arrives as it was sent, however its frames were read."""
    out, chunks = run(decoder(wants_usage=True), ROLE, HELLO, WORLD, STOP, USAGE, DONE)

    assert out == ANSWER + USAGE + DONE
    assert Usage(input=9, output=2) == chunks[-1].usage


def test_a_usage_frame_that_nobody_asked_for_is_dropped() -> None:
    """The client gets the stream that it asked for; the usage is still known."""
    out, chunks = run(decoder(), ROLE, HELLO, WORLD, STOP, USAGE, DONE)

    assert out == ANSWER + DONE
    assert Usage(input=9, output=2) == chunks[-1].usage


def test_usage_null_in_every_frame_is_not_a_usage_frame() -> None:
    """OpenAI sends `usage: null` in every frame once usage is asked for: those pass."""
    frames = [frame({"content": text}, usage=None) for text in ("a", "b", "c")]
    stop = frame({}, "stop", usage=None)

    out, chunks = run(decoder(), *frames, stop, USAGE, DONE)

    assert b"".join(frames) + stop + DONE == out
    assert Usage(input=9, output=2) == chunks[-1].usage


def test_usage_beside_content_passes() -> None:
    """Some servers put the usage into the last frame of content: that frame is not dropped."""
    last = frame({"content": "!"}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 1})

    out, chunks = run(decoder(), HELLO, last, DONE)

    assert HELLO + last + DONE == out
    assert Usage(input=3, output=1) == chunks[-1].usage


def test_missing_usage_is_estimated() -> None:
    """Without usage the frames are counted, and the figure is flagged."""
    _, chunks = run(decoder(), ROLE + HELLO, WORLD, WORLD, STOP + DONE)

    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.input, chunks[-1].usage.estimated) == (50, True)
    assert chunks[-1].usage.output == 3


@pytest.mark.parametrize(
    ("piece", "content"),
    [
        (ROLE, False),
        (frame({}), False),
        (b": keep-alive\n\n", False),
        (b"event: ping\ndata: {}\n\n", False),
        (b"data: \n\n", False),
        (frame({"content": "", "tool_calls": []}), False),
        (frame({"role": "assistant", "reasoning_content": None, "content": None}), False),
        (frame(prompt_filter_results=[]), False),
        (USAGE, False),
        (HELLO, True),
        (frame({"reasoning_content": "hm"}), True),
        (frame({"reasoning": "hm"}), True),
        (frame({"refusal": "no"}), True),
        (frame({"tool_calls": [{"index": 0, "function": {"arguments": ""}}]}), False),
        (frame({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}), True),
        (STOP, True),
    ],
)
def test_what_commits(piece: bytes, content: bool) -> None:
    """Text, reasoning, a refusal, a tool delta or a clean finish commits; nothing else does."""
    assert content is decoder().feed(piece).content


@given(st.lists(st.integers(min_value=0, max_value=2000), max_size=20), st.booleans())
def test_any_cut_gives_the_same_answer(at: list[int], wants_usage: bool) -> None:
    """However the network cuts a stream, the client gets the same bytes and the ledger the same usage."""
    stream = ANSWER + USAGE + DONE
    bounds = [0, *sorted(point % len(stream) for point in at), len(stream)]

    out, chunks = run(decoder(wants_usage=wants_usage), *(stream[a:b] for a, b in itertools.pairwise(bounds)))

    assert (ANSWER + (USAGE if wants_usage else b"") + DONE) == out
    assert (Usage(input=9, output=2), None, True) == (
        chunks[-1].usage,
        chunks[-1].failure,
        any(chunk.done for chunk in chunks),
    )


@pytest.mark.parametrize("cut", [ANSWER[: len(ROLE + HELLO)], ROLE, b"", (ROLE + HELLO + WORLD)[:-30]])
def test_an_answer_that_breaks_off_is_a_failure(cut: bytes) -> None:
    """No end mark and no finish: the answer is not complete, and what it cost so far is known."""
    _, chunks = run(decoder(), cut)

    assert chunks[-1].failure is not None
    assert Failed.BROKEN is chunks[-1].failure.kind
    assert chunks[-1].usage is not None


@pytest.mark.parametrize("pieces", [(ROLE, HELLO, WORLD, STOP), (ANSWER,), (ROLE, HELLO, STOP, USAGE)])
def test_a_missing_end_mark_is_added_after_a_finish(pieces: tuple[bytes, ...]) -> None:
    """Some servers just close after the finish; clients wait for the mark."""
    out, chunks = run(decoder(), *pieces)

    assert out.endswith(STOP + DONE)
    assert (any(chunk.done for chunk in chunks), chunks[-1].failure) == (True, None)


def test_an_end_mark_without_its_blank_line_counts() -> None:
    """A server that forgets the last line end still ended its answer."""
    out, chunks = run(decoder(), ANSWER + b"data: [DONE]")

    assert out == ANSWER + DONE
    assert (chunks[-1].done, chunks[-1].failure) == (True, None)


def test_an_end_mark_alone_is_not_an_answer() -> None:
    """Nothing said, nothing finished: another target may do better."""
    chunk = decoder().feed(ROLE + DONE)

    assert chunk.failure is not None
    assert (chunk.content, chunk.done) == (False, False)


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        (b'data: {"error":{"message":"boom","type":"server_error","code":null}}\n\n', Failed.BROKEN),
        (b'event: error\ndata: {"message":"boom"}\n\n', Failed.BROKEN),
        (b'data: {"error":{"code":503,"message":"overloaded","type":"unavailable_error"}}\n\n', Failed.BUSY),
    ],
)
@pytest.mark.parametrize("before", [b"", ROLE + HELLO + WORLD])
def test_an_error_inside_a_200_stream_is_a_failure(before: bytes, piece: bytes, kind: Failed) -> None:
    """Before and after the commit point an error frame is a failure and never reaches the client."""
    stream = decoder()
    stream.feed(before)

    chunk = stream.feed(piece)

    assert chunk.failure is not None or piece.startswith(b"data: {not")
    if chunk.failure is not None:
        assert (kind, b"") == (chunk.failure.kind, chunk.out)


def test_content_before_an_error_is_passed_on() -> None:
    """What was said before an error in the same read reaches the client; the error does not."""
    chunk = decoder().feed(HELLO + b'data: {"error":{"message":"boom"}}\n\n' + WORLD)

    assert chunk.out == HELLO
    assert chunk.failure is not None
    assert chunk.failure.detail == "boom"


def test_nothing_follows_the_end_mark() -> None:
    """Bytes after the end mark are not part of the answer."""
    out, _ = run(decoder(), ANSWER + DONE + HELLO, HELLO)

    assert out == ANSWER + DONE


def test_a_frame_of_an_unknown_shape_passes() -> None:
    """Sound JSON in a shape that we do not know is the client's to judge."""
    odd = b'data: {"choices":"later"}\n\n'

    assert (odd, True) == ((chunk := decoder().feed(odd)).out, chunk.content)


def test_a_frame_without_end_is_a_failure() -> None:
    """An upstream that never ends its frame is cut off."""
    chunk = decoder().feed(b"data: " + b"x" * (5 * 1024 * 1024))

    assert chunk.failure is not None
    assert Failed.BROKEN is chunk.failure.kind


def test_comments_and_pings_do_not_reach_the_client() -> None:
    """Nor do they count as frames, before the commit and after it."""
    ping = b": ping\n\n"
    stream = decoder()
    chunks = [stream.feed(data) for data in (ping, ROLE, ping * 64, HELLO, ping, ping + WORLD, WORLD + ping)]

    assert b"".join(chunk.out for chunk in chunks) == ROLE + HELLO + WORLD + WORLD
    assert [(chunk.content, chunk.frames) for chunk in chunks] == [
        (False, 0), (False, 1), (False, 0), (True, 1), (False, 0), (True, 1), (True, 1)
    ]  # fmt: skip


def test_what_passed_unread_can_be_asked_about() -> None:
    """An upstream that sends empty deltas for ever says nothing."""
    stream = decoder()
    stream.feed(ROLE + HELLO)
    empty, said = stream.feed(frame({})), stream.feed(HELLO)

    assert (empty.unread, said.unread) == (True, True)
    assert (stream.says_something(empty.out), stream.says_something(said.out)) == (False, True)


@pytest.mark.parametrize("cut", [b"", USAGE[:20], b"data: [DO", b"data: [DONE]", b"\x00garbage", b": bye"])
def test_an_answer_that_finished_is_whole_whatever_breaks_after_it(cut: bytes) -> None:
    """The protocol says when an answer is whole, not the transport."""
    stream = decoder()
    chunks = [stream.feed(piece) for piece in (ROLE, HELLO, WORLD, STOP, cut)]
    assert stream.whole_at_end()
    chunks.append(stream.eof())

    assert b"".join(chunk.out for chunk in chunks) == ANSWER + DONE
    assert [chunk.done for chunk in chunks if chunk.done] == [True]
    assert all(chunk.failure is None for chunk in chunks)


def test_usage_after_the_finish_ends_the_answer() -> None:
    """Nothing that breaks between it and the end mark takes from the answer."""
    stream = decoder()
    stream.feed(ANSWER)

    chunk = stream.feed(USAGE)

    assert (chunk.done, chunk.out, chunk.usage) == (True, DONE, Usage(input=9, output=2))


def test_an_answer_of_several_choices_is_whole_when_each_has_finished() -> None:
    """One that was cut is no answer."""
    stream = CODEC.stream(AnswerOptions(1, choices=2))
    second = HELLO.replace(b'"index":0', b'"index":1'), STOP.replace(b'"index":0', b'"index":1')
    for piece in (HELLO, second[0], STOP):
        stream.feed(piece)
    assert not stream.whole_at_end()

    stream.feed(second[1])

    assert stream.whole_at_end()


def test_usage_in_the_middle_is_not_the_end() -> None:
    """Some servers report as they go; the last report counts."""
    early = frame(usage={"prompt_tokens": 9, "completion_tokens": 1})
    out, chunks = run(decoder(wants_usage=True), ROLE, HELLO, early, WORLD, STOP, USAGE, DONE)

    assert out == ROLE + HELLO + early + WORLD + STOP + USAGE + DONE
    assert chunks[-1].usage == Usage(input=9, output=2)


@pytest.mark.parametrize("error", [None, False, "", {}, {"message": None}])
@pytest.mark.parametrize("usage", [[], "x", {"prompt_tokens": "9"}, {"prompt_tokens_details": []}])
def test_a_side_fields_oddity_costs_no_answer(error: object, usage: object) -> None:
    """Neither an error that is none nor usage that nobody can read is a failure."""
    stop = frame({}, "stop", error=error, usage=usage)
    out, chunks = run(decoder(), HELLO, stop, DONE)

    assert (out, chunks[-1].failure) == (HELLO + stop + DONE, None)
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.input, chunks[-1].usage.estimated) == (50, True)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><title>Sign in</title>", "an HTML page instead of a stream"),
        (b"\xef\xbb\xbf\n<html>", "an HTML page instead of a stream"),
        (b"Internal Server Error", "text instead of a stream"),
        (b'{"hello": "world"}', "JSON instead of a stream"),
        (b"", "before the answer was complete"),
    ],
)
def test_what_came_instead_of_a_stream_is_named(body: bytes, words: str, size: int) -> None:
    """The error says what came, and quotes none of it."""
    stream = decoder()
    failure = None
    for start in range(0, len(body), size):
        failure = failure or stream.feed(body[start : start + size]).failure
    failure = failure or stream.eof().failure

    assert failure is not None
    if size > 1 or b"<" not in body:
        assert words in failure.message
    assert "Sign in" not in failure.message


WHOLE = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt",
    "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": "Hello",
        "tool_calls": [{"id": "t", "type": "function", "function": {"name": "add", "arguments": "{}"}}]}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 50, 10_000])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_whole_answer_to_a_request_for_a_stream_is_used(size: int, indent: int | None) -> None:
    """It becomes the stream that says the same."""
    body = json.dumps(WHOLE, indent=indent).encode()
    out, chunks = run(decoder(), *(body[start : start + size] for start in range(0, len(body), size)))
    sent = sdk_chunks(out)

    assert (chunks[-1].done, chunks[-1].failure, chunks[-1].usage) == (True, None, Usage(input=9, output=2))
    assert sent[0].choices[0].delta.content == "Hello"
    assert sent[0].choices[0].delta.tool_calls is not None
    assert sent[0].choices[0].delta.tool_calls[0].index == 0
    assert sent[-1].choices[0].finish_reason == "tool_calls"


def test_lines_of_chunks_are_used() -> None:
    """A stream that forgot to be one of events."""
    lines = b"".join(each.removeprefix(b"data: ").rstrip() + b"\n" for each in (ROLE, HELLO, STOP))
    out, chunks = run(decoder(), lines)

    assert (out, chunks[-1].failure) == (ROLE + HELLO + STOP + DONE, None)


def test_an_error_as_a_whole_body_of_a_stream_is_told_as_what_it_is() -> None:
    """A 200 with an error in JSON."""
    _, chunks = run(decoder(), b'{"error":{"message":"busy","type":"overloaded_error","code":503}}')

    assert chunks[-1].failure is not None
    assert chunks[-1].failure.kind is Failed.BUSY


PIECES = [ROLE, HELLO, STOP, USAGE, DONE, b": ping\n\n", b"data: {", b"\r\n", b"<"]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_order_of_pieces_ends_one_way(pieces: list[bytes]) -> None:
    """Whole, or failed: never both, and never neither."""
    out, chunks = run(decoder(), *pieces)
    done, failed = any(chunk.done for chunk in chunks), any(chunk.failure for chunk in chunks)

    assert done != failed
    assert chunks[-1].usage is not None
    assert not done or out.endswith(DONE)
