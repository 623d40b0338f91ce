"""Framing of newline-delimited JSON."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridtie.dialects.ndjson import LineSplitter
from gridtie.dialects.sse import FrameTooLarge
from standins.allocated import allocated

STREAM = b'{"a":1}\n\r\n{"b":"\xc3\xa9"}\r\n  \n{"c":3}\n'


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=20))
def test_any_cut_gives_the_same_lines(at: list[int]) -> None:
    """However the network cuts a stream, the same lines come out, empty ones left out."""
    lines = LineSplitter()
    bounds = [0, *sorted(at), len(STREAM)]

    got = [line.strip() for a, b in itertools.pairwise(bounds) for line in lines.feed(STREAM[a:b])]

    assert got == [b'{"a":1}', b'{"b":"\xc3\xa9"}', b'{"c":3}']


def test_flush_gives_a_last_line_without_its_end() -> None:
    """A last line whose line end is missing is not lost."""
    lines = LineSplitter()
    lines.feed(b'{"a":1}\n{"done":true}')

    assert (lines.flush(), lines.flush()) == (b'{"done":true}', b"")


def test_a_large_line_in_small_pieces_is_copied_a_few_times_only() -> None:
    """Its cost grows with its size, not with its size times the number of pieces."""
    line = b'"' + b"x" * 500_000 + b'"\n'
    pieces = [line[at : at + 500] for at in range(0, len(line), 500)]
    splitter = LineSplitter()
    lines: list[bytes] = []

    copied = allocated(lambda piece: lines.extend(splitter.feed(piece)), pieces)

    assert lines == [line.rstrip()]
    assert copied < 6 * len(line)


def test_a_line_without_end_is_bounded() -> None:
    """A peer that never ends its line cannot fill the memory."""
    with pytest.raises(FrameTooLarge):
        LineSplitter(max_bytes=10).feed(b"x" * 11)
