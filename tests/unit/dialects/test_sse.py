"""Framing of server-sent events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.dialects.sse import Event, EventSplitter, FrameTooLarge, parse
from standins.allocated import allocated

STREAM = (
    b"\xef\xbb\xbfdata: first\n\n"
    b": a comment\r\n\r\n"
    b"event: error\r\ndata: two\r\ndata:lines\r\n\r\n"
    b"data: caf\xc3\xa9\r\rid: 7\ndata\n\n"
    b"data: [DONE]\n\n"
)
EVENTS = [
    Event("", b"first"),
    Event("error", b"two\nlines"),
    Event("", b"caf\xc3\xa9"),
    Event("", b""),
    Event("", b"[DONE]"),
]


def cut(data: bytes, at: list[int]) -> list[bytes]:
    bounds = [0, *sorted(point % (len(data) + 1) for point in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(bounds)]


@given(st.lists(st.integers(min_value=0), max_size=30))
def test_any_cut_gives_the_same_events(at: list[int]) -> None:
    """However the network cuts a stream, the same events come out."""
    frames = EventSplitter()

    events = [event for piece in cut(STREAM, at) for frame in frames.feed(piece) if (event := parse(frame))]

    assert events == EVENTS


@given(st.lists(st.integers(min_value=0), max_size=30))
def test_frames_keep_every_byte(at: list[int]) -> None:
    """Frames joined together are the stream, so that what passes through is untouched."""
    frames = EventSplitter()

    out = b"".join(frame for piece in cut(STREAM, at) for frame in frames.feed(piece))

    assert out + frames.flush() == STREAM


@given(st.binary(max_size=300), st.lists(st.integers(min_value=0), max_size=10))
def test_no_bytes_are_lost_from_any_input(data: bytes, at: list[int]) -> None:
    """Framing neither fails on nor loses bytes of a stream that is no event stream at all."""
    frames = EventSplitter()

    out = b"".join(frame for piece in cut(data, at) for frame in frames.feed(piece))

    assert data == out + frames.flush()


def test_byte_by_byte() -> None:
    """The worst cut: every byte alone, also between CR and LF."""
    frames = EventSplitter()

    events = [event for byte in STREAM for frame in frames.feed(bytes([byte])) if (event := parse(frame))]

    assert events == EVENTS


def test_a_frame_without_end_is_bounded() -> None:
    """A peer that never ends its frame cannot fill the memory."""
    frames = EventSplitter(max_bytes=100)
    frames.feed(b"data: " + b"x" * 90)

    with pytest.raises(FrameTooLarge, match="100 bytes"):
        frames.feed(b"x" * 20)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_a_large_frame_in_small_pieces_is_copied_a_few_times_only(line_end: bytes) -> None:
    """Its cost grows with its size, not with its size times the number of pieces."""
    frame = b"data: " + b"x" * 500_000 + 2 * line_end
    pieces = [frame[at : at + 500] for at in range(0, len(frame), 500)]
    splitter = EventSplitter()
    frames: list[bytes] = []

    copied = allocated(lambda piece: frames.extend(splitter.feed(piece)), pieces)

    assert frames == [frame]
    assert copied < 6 * len(frame)


def test_flush_gives_an_unended_frame_once() -> None:
    """What was left without a blank line is given at the end, and only once."""
    frames = EventSplitter()
    frames.feed(b"data: a\n\ndata: [DONE]")

    assert (frames.flush(), frames.flush()) == (b"data: [DONE]", b"")


def test_a_line_end_that_is_cut_in_two_does_not_hide_a_mark_behind_it() -> None:
    """The LF comes with the next frame; servers that join streams put byte-order marks anywhere."""
    splitter = EventSplitter()
    frames = [*splitter.feed(b"data:1\r\n\r"), *splitter.feed(b"\n\xef\xbb\xbfdata:2\n\n")]

    assert [parse(frame) for frame in frames] == [Event("", b"1"), Event("", b"2")]
