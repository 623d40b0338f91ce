"""What every translated stream has in common: framing, the commit point, the end, the metering."""

from __future__ import annotations

from typing import Protocol

from gridtie.dialects.openai_chat.answer import DONE, Frames
from gridtie.dialects.openai_chat.usage import BYTES_PER_TOKEN, estimate
from gridtie.dialects.sse import FrameTooLarge
from gridtie.dialects.types import Chunk, Failed, Failure, Usage


class Splitter(Protocol):
    """Cuts a byte stream into the units of its dialect."""

    def feed(self, data: bytes) -> list[bytes]: ...

    def flush(self) -> bytes: ...


class Translation:
    """State of one translated stream; a dialect adds `_take`, which reads one unit and calls the rest."""

    def __init__(self, splitter: Splitter, *, client_wants_usage: bool, prompt_estimate: int) -> None:
        self._splitter = splitter
        self._client_wants_usage = client_wants_usage
        self._prompt_estimate = prompt_estimate
        # Set once the answer's id is known; the role frame goes out with the first content.
        self._frames: Frames | None = None
        self._opened = False
        self._done = False
        # Bytes of what was said: the estimate where usage never comes.
        self._said = 0
        self._usage: Usage | None = None

    def _take(self, unit: bytes, out: list[bytes], chunk: Chunk) -> None:
        raise NotImplementedError

    def feed(self, data: bytes) -> Chunk:
        if self._done:
            return Chunk()
        try:
            units = self._splitter.feed(data)
        except FrameTooLarge as error:
            return Chunk(failure=broken(str(error)), usage=self._metered())
        return self._read(units)

    def eof(self) -> Chunk:
        rest = self._splitter.flush()
        chunk = self._read([rest]) if rest and not self._done else Chunk()
        chunk.usage = self._metered()
        if not self._done and chunk.failure is None:
            chunk.failure = broken("the upstream ended its stream before the answer was complete")
        return chunk

    def _read(self, units: list[bytes]) -> Chunk:
        chunk = Chunk(frames=len(units))
        out: list[bytes] = []
        take = self._take
        for unit in units:
            take(unit, out, chunk)
            if chunk.done or chunk.failure is not None:
                chunk.usage = self._metered()
                break
        chunk.out = b"".join(out)
        return chunk

    def _say(self, frame: bytes, said: int, frames: Frames, out: list[bytes], chunk: Chunk) -> None:
        """Content on its way to the client; what commits the answer."""
        if not self._opened:
            self._opened = True
            out.append(frames.role())
        self._said += said
        chunk.content = True
        out.append(frame)

    def _finish(self, reason: str, frames: Frames, out: list[bytes], chunk: Chunk) -> None:
        """The clean end of an answer."""
        self._say(frames.finish(reason), 0, frames, out, chunk)
        if self._client_wants_usage:
            out.append(frames.usage(self._metered()))
        out.append(DONE)
        self._done = chunk.done = True

    def _metered(self) -> Usage:
        return self._usage or estimate(self._prompt_estimate, self._said // BYTES_PER_TOKEN)


def broken(message: str) -> Failure:
    return Failure(kind=Failed.BROKEN, message=message)
