"""Newline-delimited JSON: cutting a byte stream into lines."""

from __future__ import annotations

from gridtie.dialects.sse import MAX_FRAME_BYTES, FrameTooLarge


class LineSplitter:
    """Cuts a stream, however it arrives, into non-empty lines without their line end."""

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max = max_bytes
        # The line that has begun; it is only ever added to, for a large one comes in many pieces.
        self._begun = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes. Raises `FrameTooLarge`."""
        # JSON has no raw line end inside a value, so LF alone decides; a CR before it is white space to JSON.
        *lines, rest = data.split(b"\n")
        if lines and self._begun:
            lines[0] = b"".join((self._begun, lines[0]))
            self._begun.clear()
        if rest:
            self._begun += rest
        if len(self._begun) > self._max:
            raise FrameTooLarge(f"a line grew past {self._max} bytes without ending")
        return [line for line in lines if line and not line.isspace()]

    def held(self) -> int:
        """Bytes held back."""
        return len(self._begun)

    def flush(self) -> bytes:
        """What was left without a line end when the stream ended; empty where it was only white space."""
        rest = bytes(self._begun)
        self._begun.clear()
        return rest if rest and not rest.isspace() else b""
