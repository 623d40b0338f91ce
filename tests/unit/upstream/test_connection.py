"""One connection to an upstream, fed piece by piece: what it reads does not depend on how the bytes come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gridtie.upstream.connection import Connection
from gridtie.upstream.errors import Broken

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
# Some hold what looks like framing.
SAID = [
    b"data: 1\n\n",
    b"\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"x" * 300,
    b"a",
    b"\n" * 15,
    b"y" * 16,
    b"data: [DONE]\n\n",
]
FRAMED: dict[str, Callable[[bytes], bytes]] = {
    "as most do": lambda data: b"%x\r\n%b\r\n" % (len(data), data),
    "in capitals": lambda data: b"%X\r\n%b\r\n" % (len(data), data),
    "with zeros before": lambda data: b"%08x\r\n%b\r\n" % (len(data), data),
    "with extensions": lambda data: b"%x;a=b\r\n%b\r\n" % (len(data), data),
}


class Heard:
    """A receiver, and the transport and the pool of its connection."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.bodies: list[bytes] = []
        self.ended = self.error = ""
        self.kept = self.closed = False
        connection = Connection(self)
        connection.connection_made(self)  # type: ignore[arg-type]
        connection.send(b"POST / HTTP/1.1\r\n\r\n", b"", self)
        for piece in pieces:
            if not self.closed:
                connection.data_received(piece)

    def on_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        assert status == 200

    def on_body(self, data: bytes, last: bool) -> None:
        self.bodies.append(data)
        self.ended = "whole" if last else ""

    def on_error(self, error: Broken) -> None:
        self.ended, self.error = "broken", str(error)

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def idle(self, connection: Any) -> None:
        self.kept = True

    def gone(self, connection: Any) -> None:
        pass


@pytest.mark.parametrize("framing", FRAMED)
def test_chunks_are_read_alike_however_they_come_and_are_framed(framing: str) -> None:
    chunks = [FRAMED[framing](data) for data in SAID]
    whole = b"".join([HEAD, *chunks, END])
    ways = [
        [whole],
        [HEAD, *chunks, END],
        [HEAD + chunks[0], *chunks[1:-1], chunks[-1] + END],
        [HEAD, *(b"".join(chunks[at : at + 2]) for at in range(0, len(chunks), 2)), END],
        *([whole[at : at + size] for at in range(0, len(whole), size)] for size in (1, 7)),
        # Cut in two within one chunk, at each of its bytes, among chunks that come alone.
        *([HEAD, *chunks[:2], chunks[2][:at], chunks[2][at:], *chunks[3:], END] for at in range(1, len(chunks[2]))),
        *([HEAD, *chunks[:2], chunks[2][:at], chunks[2][at:] + chunks[3], *chunks[4:], END] for at in range(1, 12)),
    ]

    for pieces in ways:
        heard = Heard(pieces)
        assert (heard.ended, heard.kept, b"".join(heard.bodies)) == ("whole", True, b"".join(SAID))


def test_each_chunk_is_handed_on_as_it_comes() -> None:
    heard = Heard([HEAD, *(FRAMED["as most do"](data) for data in SAID)])

    assert heard.bodies == SAID
    assert not heard.ended


@pytest.mark.parametrize(
    "chunk",
    [
        b"5\r\nabcdef\r\n",
        b"6\r\nabcde\r\n\r\n",
        b"5\r\nabcde\n\n",
        b"0x5\r\nabcde\r\n",
        b" 5\r\nabcde\r\n",
        b"+5\r\nabcde\r\n",
        b"5\nabcdef\r\n",
        b"\r\n5\r\nabcde\r\n",
        b"ghi\r\n",
    ],
)
def test_a_chunk_that_is_not_as_long_as_it_says_breaks_the_answer(chunk: bytes) -> None:
    good = FRAMED["as most do"](b"said")
    heard = Heard([HEAD, good, good, chunk, good, END])

    assert (heard.ended, heard.closed, heard.kept) == ("broken", True, False)
    assert b"abc" not in b"".join(heard.bodies[:2])


def test_what_comes_with_a_length_or_up_to_the_end_is_no_chunk_although_it_looks_like_one() -> None:
    body = b"4\r\nsaid\r\n"
    sized = Heard([b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n", body, body])
    endless = Heard([b"HTTP/1.1 200 OK\r\n\r\n", body, body])

    assert (sized.ended, b"".join(sized.bodies)) == ("whole", body * 2)
    assert b"".join(endless.bodies) == body * 2


def test_a_trailer_after_chunks_that_came_alone_ends_the_answer() -> None:
    good = FRAMED["as most do"](b"said")
    heard = Heard([HEAD, good, good, b"0\r\n", b"x: y\r\n", b"\r\n"])

    assert (heard.ended, heard.kept, heard.bodies[:2]) == ("whole", True, [b"said", b"said"])
