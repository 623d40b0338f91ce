"""What every translated answer has in common: framing, the commit point, the end, the metering.

A translation writes either the chunks of a stream or, for a client that wants a whole answer, that answer at its
end; the target is asked to stream in both cases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from gridtie.dialects.answer import Finish, MakeWriter, Silent, ToolCall, Unwritable, Writer
from gridtie.dialects.facts import BYTES_PER_TOKEN
from gridtie.dialects.found import beginning, form
from gridtie.dialects.openai_chat.usage import WireUsage, from_wire
from gridtie.dialects.sse import FrameTooLarge
from gridtie.dialects.types import MAX_ANSWER_BYTES, AnswerOptions, Chunk, Failed, Failure, StreamDecoder, Usage, Whole
from gridtie.dialects.values import FREE_BYTES, MOST_VALUES, too_many

# Makes a reader of an answer.
MakeAnswer = Callable[[MakeWriter, AnswerOptions], StreamDecoder]

_QUOTE, _HTML, _OBJECT, _LIST = b'"<{['
EMPTY = 2  # bytes of an empty JSON string: its quotes
# Tool calls of one answer. Models call a few at once; a server that tells of more has lost count, and each is kept.
MOST_CALLS = 10_000


class Splitter(Protocol):
    """Cuts a byte stream into the units of its dialect."""

    def feed(self, data: bytes) -> list[bytes]: ...

    def held(self) -> int: ...

    def flush(self) -> bytes: ...


class Translation:
    """State of one translated answer; a `StreamDecoder`.

    A dialect adds `_take`, which reads one unit and calls the rest, and `_take_document` where a whole answer looks
    otherwise than a unit. A finish that was seen makes the answer whole, whatever breaks after it.
    """

    # Whether JSON at the start is a whole answer and not the first unit of a stream.
    _documents = False

    def __init__(self, splitter: Splitter, write: MakeWriter, options: AnswerOptions) -> None:
        self._splitter = splitter
        self._write = write
        self._options = options
        # The first bytes, until they tell what the stream is; a document's bytes until it ends.
        self._lead: bytes | None = b""
        self._document: bytearray | None = None
        # Set once the answer's id is known; its start goes out with the first content.
        self._writer: Writer | None = None
        self._opened = False
        self._finish: Finish | None = None
        self._done = False
        # Done, or failed: nothing more is read.
        self._over = False
        # Bytes of what was said: the estimate where usage never comes.
        self._said = 0
        self._usage: WireUsage | None = None

    def _take(self, unit: bytes, out: list[bytes], chunk: Chunk) -> None:
        raise NotImplementedError

    def _take_document(self, document: bytes, out: list[bytes], chunk: Chunk) -> None:
        raise NotImplementedError

    def feed(self, data: bytes) -> Chunk:
        if self._over:
            return Chunk()
        if self._lead is None and self._document is None:
            chunk = self._feed(data)
        elif self._lead is not None:
            chunk = self._begin(self._lead + data)
        else:
            chunk = self._collect(data)
        if chunk.done or chunk.failure is not None:
            self._over = True
        return chunk

    def _feed(self, data: bytes) -> Chunk:
        try:
            units = self._splitter.feed(data)
        except FrameTooLarge as error:
            return self._unless_finished(str(error))
        return self._read(units, self._take)

    def eof(self) -> Chunk:
        chunk = Chunk()
        if not self._over:
            self._over = True
            if self._document is not None:
                chunk = self._read([bytes(self._document)], self._take_document)
            elif rest := self._splitter.flush():
                chunk = self._read([rest], self._take)
            if not self._done and chunk.failure is None:
                ended = self._unless_finished("the upstream ended its stream before the answer was complete")
                ended.out, ended.frames = chunk.out + ended.out, chunk.frames
                chunk = ended
        chunk.usage = self.usage()
        return chunk

    def whole_at_end(self) -> bool:
        return self._done or self._finish is not None

    def says_something(self, data: bytes) -> bool:
        # Nothing passes unread here.
        return False

    def held(self) -> int:
        return self._splitter.held() + len(self._document or b"") + (self._writer.held() if self._writer else 0)

    def usage(self) -> Usage:
        return from_wire(self._usage, self._options.prompt_estimate, self._said // BYTES_PER_TOKEN)

    # -- what the stream is ------------------------------------------------------------------------------------------

    def _begin(self, data: bytes) -> Chunk:
        first = beginning(data)
        if first is None:
            self._lead = data[-4096:]
            return Chunk()
        self._lead = None
        if first == _HTML:
            return Chunk(failure=broken(f"the upstream sent {form(data)} instead of a stream"), usage=self.usage())
        if first == _OBJECT and self._documents:
            self._document = bytearray()
            return self._collect(data)
        return self._feed(data)

    def _collect(self, data: bytes) -> Chunk:
        document = self._document = self._document or bytearray()
        document += data
        if len(document) > MAX_ANSWER_BYTES:
            document.clear()
            return Chunk(failure=broken(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes"))
        return Chunk()

    # -- units -------------------------------------------------------------------------------------------------------

    def _read(self, units: list[bytes], take: Callable[[bytes, list[bytes], Chunk], None]) -> Chunk:
        chunk = Chunk(frames=len(units))
        out: list[bytes] = []
        try:
            for unit in units:
                if len(unit) > FREE_BYTES:
                    _bound(unit)
                take(unit, out, chunk)
                if chunk.done or chunk.failure is not None:
                    break
        except Unwritable as error:
            self._give_up(error, chunk)
        if chunk.done or chunk.failure is not None:
            if chunk.failure is not None and self._finish is not None:
                # The answer was whole before that.
                chunk.failure = None
                self._end(out, chunk)
            chunk.usage = self.usage()
        chunk.out = b"".join(out)
        return chunk

    def _unless_finished(self, what: str) -> Chunk:
        """The end of an answer that finished, else a failure."""
        chunk = Chunk(usage=self.usage())
        if self._finish is None:
            chunk.failure = broken(what)
            return chunk
        out: list[bytes] = []
        self._end(out, chunk)
        chunk.out = b"".join(out)
        return chunk

    # -- what a dialect calls ----------------------------------------------------------------------------------------

    def _open_writer(self, id: str, created: int, model: str) -> Writer:
        self._writer = self._write(id, created, model, self._options)
        return self._writer

    def _text(self, text: msgspec.Raw, write: Callable[[bytes], bytes], out: list[bytes], chunk: Chunk) -> None:
        """A piece of text on its way to the client, given as a JSON string; nothing where it is empty or no text."""
        span = bytes(text)
        if span[0] == _QUOTE and len(span) > EMPTY:
            self._say(write(span), len(span) - EMPTY, out, chunk)

    def _tell_call(self, index: int, call: ToolCall, said: int, out: list[bytes], chunk: Chunk) -> None:
        """A tool call on its way to the client, by its place among those of this answer. Raises `Unwritable`."""
        if index >= MOST_CALLS:
            raise Unwritable(f"the upstream's answer calls tools more than {MOST_CALLS} times")
        assert self._writer is not None  # noqa: S101 (made with the first unit that says something)
        self._say(self._writer.call(index, call), said, out, chunk)

    def _say(self, piece: bytes, said: int, out: list[bytes], chunk: Chunk) -> None:
        """Content on its way to the client; what commits the answer."""
        if not self._opened and self._writer is not None:
            self._opened = True
            out.append(self._writer.start())
        self._said += said
        chunk.content = True
        out.append(piece)

    def _end(self, out: list[bytes], chunk: Chunk) -> None:
        """The clean end of an answer."""
        if self._writer is not None:
            try:
                end = self._writer.end(self._finish or "stop", self.usage(), wants_usage=self._options.wants_usage)
            except Unwritable as error:
                self._give_up(error, chunk)
                return
            self._say(end, 0, out, chunk)
        self._done = chunk.done = True

    def _give_up(self, error: Unwritable, chunk: Chunk) -> None:
        """What came cannot be told to this client, however it ended."""
        self._finish = None
        chunk.failure = broken(str(error))


def _bound(unit: bytes) -> None:
    if found := too_many(unit):
        raise Unwritable(f"the upstream sent {found} values at once, and at most {MOST_VALUES} are read")


def broken(message: str) -> Failure:
    return Failure(kind=Failed.BROKEN, message=message)


def read_whole(answer: MakeAnswer, own: MakeWriter, body: bytes, prompt_estimate: int) -> Whole:
    """An answer that lies there whole and passes; a stream that came in its place is made into one."""
    streams = form(body) != "JSON" or b"\n{" in body.strip()
    whole = decode_whole(answer(own if streams else Silent, AnswerOptions(prompt_estimate)), body)
    return whole if streams or whole.failure is not None else Whole(body, whole.usage)


def decode_whole(decoder: StreamDecoder, body: bytes) -> Whole:
    """An answer that lies there whole, through a decoder that collects."""
    chunk = decoder.feed(body)
    if not chunk.done and chunk.failure is None:
        chunk = decoder.eof()
    return Whole(chunk.out if chunk.failure is None else b"", chunk.usage, chunk.failure)
