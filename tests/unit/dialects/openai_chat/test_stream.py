"""OpenAI to OpenAI: streams."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import Chunk, Failed, StreamDecoder, Usage

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


def decoder(*, client_wants_usage: bool = False) -> StreamDecoder:
    return CODEC.stream(client_wants_usage=client_wants_usage, prompt_estimate=50)


def run(decoder: StreamDecoder, *pieces: bytes) -> tuple[bytes, list[Chunk]]:
    chunks = [decoder.feed(piece) for piece in pieces]
    chunks.append(decoder.eof())
    return b"".join(chunk.out for chunk in chunks), chunks


def test_bytes_pass_untouched() -> None:
    """An answer arrives as it was sent, however its frames were read."""
    out, chunks = run(decoder(client_wants_usage=True), ROLE, HELLO, WORLD, STOP, USAGE, DONE)

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
        (frame({"tool_calls": [{"index": 0, "function": {"arguments": ""}}]}), True),
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

    out, chunks = run(decoder(client_wants_usage=wants_usage), *(stream[a:b] for a, b in itertools.pairwise(bounds)))

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
