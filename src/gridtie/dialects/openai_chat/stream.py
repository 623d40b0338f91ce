"""An OpenAI stream on its way to an OpenAI client: the bytes pass, what must be known is read beside them."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from gridtie.dialects.facts import BYTES_PER_TOKEN
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.found import beginning, form
from gridtie.dialects.openai_chat import errors, usage
from gridtie.dialects.openai_chat.answer_writer import DONE
from gridtie.dialects.openai_chat.frames import Heard, hear, says_something
from gridtie.dialects.openai_chat.reform import Unusable, chunks_of, whole_of
from gridtie.dialects.sse import Event, EventSplitter, FrameTooLarge, parse, without_comments
from gridtie.dialects.types import MAX_ANSWER_BYTES, AnswerOptions, Chunk, Failed, Failure, Usage

_DONE = b"[DONE]"
_FRAME_END = b"\n\n"
# How bytes end that hold whole JSON frames and no end mark; every server we know of ends its lines with LF.
_JSON_FRAME_END = b"}\n\n"
# Marks of a frame that needs reading; every other frame after the commit point passes unread. A quote inside a
# JSON string is escaped, so `"usage"` is never part of a model's text. `error` may be: then it is read in vain,
# but an `event: error` line is found as well.
_ERROR, _USAGE = b"error", b'"usage"'
_NO_USAGE = (b'"usage":null', b'"usage": null')
_COMMENT = b"\n:"

_HTML, _OBJECT, _LIST, _COLON = b"<{[:"


class PassThrough:
    """State of one stream; a `StreamDecoder`.

    A stream begins unknown. It is one of events, or a JSON document, which is collected and made into a stream at
    its end, or it is nothing of use. Events are read one by one up to the first content and pass unread after it,
    but for those that may hold an error or usage. It ends with the end mark, with the usage after a finish, or, where
    a finish was seen, with the transport.
    """

    def __init__(self, options: AnswerOptions) -> None:
        self._events = EventSplitter()
        self._keep_usage = options.wants_usage
        self._prompt_estimate = options.prompt_estimate
        self._choices = options.choices
        self._usage: usage.WireUsage | None = None
        # The first bytes, until they tell what the stream is; a document's bytes until it ends.
        self._lead: bytes | None = b""
        self._document: bytearray | None = None
        # Something was said or finished. Of several choices each has its own finish, so then every frame is read.
        self._begun = False
        self._passing = False
        self._finished: set[int] = set()
        self._done = False
        # Done, or failed: nothing more is read.
        self._over = False
        self._came = self._heard_events = False
        # One frame is about one token at every server we know of: the estimate where usage never comes.
        self._spoken = 0
        # The last two reads that passed unread: the finish may stand in one, and a frame without content follow it.
        self._before = self._unread = b""

    def feed(self, data: bytes) -> Chunk:
        if (
            self._passing
            and data.endswith(_JSON_FRAME_END)
            and not self._events.rest
            and _ERROR not in data
            and (_USAGE not in data or data.count(_USAGE) == sum(map(data.count, _NO_USAGE)))
            and data[0] != _COLON
        ):
            # One frame in nearly every read: then no comment can stand beside it.
            frames = 1 if data.find(b"\n") == len(data) - 2 else _frames_without_comments(data)
            if frames:
                self._before, self._unread = self._unread, data
                self._spoken += frames
                return Chunk(data, frames, True, False, None, None, True)
        if self._over:
            return Chunk()
        chunk = self._feed(data)
        if chunk.done or chunk.failure is not None:
            self._over, self._passing = True, False
        return chunk

    def _feed(self, data: bytes) -> Chunk:
        if self._lead is not None:
            return self._begin(self._lead + data)
        if self._document is not None:
            return self._collect(self._document, data)
        return self._feed_events(data)

    def eof(self) -> Chunk:
        if self._over:
            return Chunk(usage=self.usage())
        self._over = True
        if self._document is not None:
            return self._end_document(bytes(self._document))
        chunk = Chunk()
        if rest := self._events.flush():
            # The client's parser needs the blank line that upstream left out.
            self._read([rest.rstrip(b"\r\n") + _FRAME_END], chunk)
        chunk.usage = self.usage()
        if self._done:
            return chunk
        if self._all_finished():
            # The answer is whole, whatever is cut after it; clients wait for the mark.
            chunk.failure = None
            self._end(chunk)
            chunk.out += DONE
        elif chunk.failure is None:
            chunk.failure = _broken(self._what_ended())
        return chunk

    def whole_at_end(self) -> bool:
        return self._done or self._all_finished()

    def says_something(self, data: bytes) -> bool:
        frames = EventSplitter().feed(data)
        return any(says_something(event) for frame in frames if (event := parse(frame)) is not None)

    def held(self) -> int:
        return self._events.held() + len(self._document or b"")

    def usage(self) -> Usage:
        spoken = max(self._spoken, len(self._document or b"") // BYTES_PER_TOKEN)
        return usage.from_wire(self._usage, self._prompt_estimate, spoken)

    # -- what the stream is ------------------------------------------------------------------------------------------

    def _begin(self, data: bytes) -> Chunk:
        first = beginning(data)
        if first is None:
            self._lead = data[:MAX_ANSWER_BYTES] if len(data) < 4096 else b""
            return Chunk()
        self._lead = None
        if first == _HTML:
            return Chunk(failure=_broken(f"the upstream sent {form(data)} instead of a stream"), usage=self.usage())
        if first in (_OBJECT, _LIST):
            self._document = bytearray()
            return self._collect(self._document, data)
        return self._feed_events(data)

    def _collect(self, document: bytearray, data: bytes) -> Chunk:
        document += data
        if len(document) > MAX_ANSWER_BYTES:
            document.clear()
            return Chunk(failure=_broken(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes"))
        return Chunk()

    def _end_document(self, document: bytes) -> Chunk:
        """A whole answer to a request for a stream is used all the same."""
        chunk = Chunk()
        try:
            frames = chunks_of(document)
        except UNREADABLE:
            frames = []
        if frames:
            self._read(frames, chunk)
        if not self._done and chunk.failure is None:
            if self._all_finished():
                self._end(chunk)
                chunk.out += DONE
            else:
                chunk.failure = _no_stream(document)
        chunk.usage = self.usage()
        return chunk

    def _what_ended(self) -> str:
        if not self._heard_events and self._came:
            return "the upstream sent text instead of a stream"
        return "the upstream ended its stream before the answer was complete"

    # -- events ------------------------------------------------------------------------------------------------------

    def _feed_events(self, data: bytes) -> Chunk:
        chunk = Chunk()
        self._came = True
        try:
            frames = self._events.feed(data)
        except FrameTooLarge as error:
            chunk.failure, chunk.usage = _broken(str(error)), self.usage()
            return chunk
        self._read(frames, chunk)
        return chunk

    def _read(self, frames: list[bytes], chunk: Chunk) -> None:
        out: list[bytes] = []
        for frame in frames:
            event = parse(frame)
            # A comment, a ping, an event without data: signs of life, and nothing to a client.
            if event is None or event.name == "ping" or not event.data.strip():
                continue
            self._heard_events = True
            chunk.frames += 1
            if self._read_one(event, chunk):
                out.append(without_comments(frame))
            if chunk.failure is not None and self._all_finished():
                # The answer was whole before that.
                chunk.failure = None
                self._end(chunk)
            if chunk.failure is not None or chunk.done:
                chunk.usage = self.usage()
                break  # bytes after the end are not part of the answer
        if chunk.done:
            out.append(DONE)
        chunk.out = b"".join(out)

    def _read_one(self, event: Event, chunk: Chunk) -> bool:
        """Take note of one event; whether it goes on to the client."""
        if event.data.strip() == _DONE:
            return self._end_marked(chunk)
        try:
            heard = hear(event)
        except UNREADABLE:
            chunk.failure = _broken("the upstream sent an event that is no JSON object")
            return False
        if heard.error is not None:
            chunk.failure = errors.from_error(heard.error)
            return False
        if heard.content:
            self._spoken += heard.spoken
            self._finished.update(heard.finished)
            self._begun = chunk.content = True
            self._passing = self._choices == 1
        if heard.usage is not None:
            return self._take_usage(heard, chunk)
        return True

    def _take_usage(self, heard: Heard, chunk: Chunk) -> bool:
        if heard.usage is not None:
            self._usage = usage.read(heard.usage, heard.said) or self._usage
        chunk.usage = self.usage()
        if not heard.alone:
            return True
        if self._all_finished():
            # Usage after the finish is the last that a stream says: nothing that breaks after it takes from it.
            self._end(chunk)
        return self._keep_usage

    def _end_marked(self, chunk: Chunk) -> bool:
        if not self._begun:
            # Nothing was said and nothing finished: an end mark alone is not an answer.
            chunk.failure = _broken("the upstream ended its stream without an answer")
            return False
        # The mark itself is written anew.
        self._end(chunk)
        return False

    def _end(self, chunk: Chunk) -> None:
        self._passing = False
        self._done = chunk.done = chunk.content = True

    def _all_finished(self) -> bool:
        if not self._finished and self._choices == 1 and self._unread:
            # The finish may have passed unread.
            for frame in EventSplitter().feed(self._before + self._unread):
                event = parse(frame)
                if event is not None:
                    with suppress(*UNREADABLE):
                        self._finished.update(hear(event).finished)
        return len(self._finished) >= self._choices


def _frames_without_comments(data: bytes) -> int:
    """How many whole frames there are; 0 where a comment stands among them."""
    return 0 if _COMMENT in data else data.count(b"\n") >> 1


def _no_stream(document: bytes) -> Failure:
    """What came instead of a stream: an error with a status of success, or something else."""
    try:
        error = errors.read_present(document)
    except UNREADABLE:
        error = None
    return errors.from_error(error) if error else _broken(f"the upstream sent {form(document)} instead of a stream")


def _broken(message: str) -> Failure:
    return Failure(kind=Failed.BROKEN, message=message)


class Collected:
    """A stream that is kept until it is whole; a `StreamDecoder` whose `out` is the completion it adds up to."""

    def __init__(self, options: AnswerOptions) -> None:
        self._stream = PassThrough(msgspec.structs.replace(options, wants_usage=True))
        self._kept: list[bytes] = []
        self._bytes = 0

    def feed(self, data: bytes) -> Chunk:
        return self._keep(self._stream.feed(data))

    def eof(self) -> Chunk:
        return self._keep(self._stream.eof())

    def whole_at_end(self) -> bool:
        return self._stream.whole_at_end()

    def says_something(self, data: bytes) -> bool:
        return self._stream.says_something(data)

    def held(self) -> int:
        return self._stream.held() + self._bytes

    def usage(self) -> Usage:
        return self._stream.usage()

    def _keep(self, chunk: Chunk) -> Chunk:
        self._kept.append(chunk.out)
        self._bytes += len(chunk.out)
        chunk.out = b""
        if self._bytes > MAX_ANSWER_BYTES:
            self._kept.clear()
            chunk.failure = _broken(f"the upstream's answer exceeds {MAX_ANSWER_BYTES} bytes")
        elif chunk.done:
            try:
                chunk.out = whole_of(b"".join(self._kept))
            except (Unusable, *UNREADABLE):
                chunk.done, chunk.failure = False, _broken("the upstream's stream does not add up to an answer")
        return chunk
