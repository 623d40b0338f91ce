"""Server-sent events: cutting a byte stream into frames, and reading one frame.

The two steps are apart because a frame that passes through is forwarded as the bytes it came in.
Line ends may be LF, CRLF or CR, as the WHATWG event stream grammar allows.
"""

from __future__ import annotations

import re

import msgspec

from gridtie.dialects.found import BOM

# One frame holds at most a whole tool call or a base64 audio part; a peer that sends more is broken.
MAX_FRAME_BYTES = 4 * 1024 * 1024

# Atomic groups: without them CRLF would also match as CR and LF, which is two line ends.
_FRAME_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
# The longest frame end is CRLF CRLF, so it can start three bytes before newly arrived data.
_OVERLAP = 3


class FrameTooLarge(ValueError):
    """A frame or line grew past the bound without ending."""


class Event(msgspec.Struct, frozen=True):
    """One event: its `event` field (empty: the default, `message`) and its data lines joined by LF."""

    name: str
    data: bytes


class EventSplitter:
    """Cuts a stream, however it arrives, into frames that keep their bytes and their blank line."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max = max_bytes
        # The frame that has begun: what no frame end can begin in any more, and what came after it. The first is only
        # ever added to, for a large frame in small pieces must not be copied or searched anew with each of them.
        self._begun = bytearray()
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes. Raises `FrameTooLarge`."""
        if not self.rest and b"\r" not in data:
            # Nearly every server, and the translated streams' hot path: splitting costs a third of the search.
            *whole, self.rest = data.split(b"\n\n")
            return self._bounded([frame + b"\n\n" for frame in whole])
        search_from = max(0, len(self.rest) - _OVERLAP)
        data = self.rest + data
        frames = []
        start = 0
        while (end := _FRAME_END.search(data, search_from)) is not None:
            frames.append(data[start : end.end()])
            start = search_from = end.end()
        if frames and self._begun:
            frames[0] = b"".join((self._begun, frames[0]))
            self._begun.clear()
        searched = max(start, len(data) - _OVERLAP)
        self._begun += data[start:searched]
        self.rest = data[searched:]
        return self._bounded(frames)

    def _bounded(self, frames: list[bytes]) -> list[bytes]:
        if len(self._begun) + len(self.rest) > self._max:
            raise FrameTooLarge(f"an event grew past {self._max} bytes without ending")
        return frames

    def held(self) -> int:
        """Bytes held back."""
        return len(self._begun) + len(self.rest)

    def flush(self) -> bytes:
        """What was left without a blank line when the stream ended; some servers end that way."""
        rest, self.rest = b"".join((self._begun, self.rest)), b""
        self._begun.clear()
        return rest


def parse(frame: bytes) -> Event | None:
    """The event in a frame; None where it holds no data (a comment, a stray blank line)."""
    name = b""
    data = []
    # The line ends of bytes.splitlines are just those of the grammar: LF, CRLF and CR.
    # The LF of a CRLF that was cut in two begins the next frame.
    for line in frame.lstrip(b"\r\n").removeprefix(BOM).splitlines():
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    if not data:
        return None
    return Event(name.decode("utf-8", "replace"), b"\n".join(data))


def without_comments(frame: bytes) -> bytes:
    """A frame that goes on to a client; its own bytes where no comment stands in it."""
    if b"\n:" not in frame and b"\r:" not in frame and not frame.startswith(b":"):
        return frame
    return b"".join(line for line in frame.splitlines(keepends=True) if not line.startswith(b":"))
