"""An OpenAI stream on its way to an OpenAI client: the bytes pass, what must be known is read beside them."""

from __future__ import annotations

import msgspec

from gridtie.dialects.openai_chat import errors as openai_errors
from gridtie.dialects.failures import UNREADABLE
from gridtie.dialects.openai_chat.usage import WireUsage, estimate, from_wire
from gridtie.dialects.sse import Frames, FrameTooLarge, parse
from gridtie.dialects.types import Chunk, Failed, Failure, Usage

_DONE = b"[DONE]"
_FRAME_END = b"\n\n"
# How bytes end that hold whole JSON frames and no end mark; every server we know of ends its lines with LF.
_JSON_FRAME_END = b"}\n\n"
# Marks of a frame that needs reading; every other frame after the commit point passes unread. A quote inside a
# JSON string is escaped, so `"usage"` is never part of a model's text. `error` may be: then it is read in vain,
# but an `event: error` line is found as well.
_ERROR, _USAGE = b"error", b'"usage"'
_NO_USAGE = (b'"usage":null', b'"usage": null')


class _Delta(msgspec.Struct):
    content: str | list[msgspec.Raw] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: dict[str, msgspec.Raw] | None = None
    audio: dict[str, msgspec.Raw] | None = None

    def says_something(self) -> bool:
        return bool(
            self.content
            or self.reasoning_content
            or self.reasoning
            or self.refusal
            or self.tool_calls
            or self.function_call
            or self.audio
        )


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Frame(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    error: openai_errors.ErrorObject | str | None = None


_frame = msgspec.json.Decoder(_Frame)


class PassThrough:
    """State of one stream; a `StreamDecoder`."""

    def __init__(self, *, client_wants_usage: bool, prompt_estimate: int) -> None:
        self._frames = Frames()
        self._keep_usage = client_wants_usage
        self._prompt_estimate = prompt_estimate
        self._usage: Usage | None = None
        # From the first content to the end mark: frames need no reading then.
        self._passing = False
        self._finished = False
        self._done = False
        # One frame is about one token at every server we know of: the estimate where usage never comes.
        self._spoken = 0
        # The last bytes that passed unread; `eof` looks for a finish in them.
        self._unread = b""

    def feed(self, data: bytes) -> Chunk:
        if (
            self._passing
            and data.endswith(_JSON_FRAME_END)
            and not self._frames.rest
            and _ERROR not in data
            and (_USAGE not in data or data.count(_USAGE) == sum(map(data.count, _NO_USAGE)))
        ):
            self._unread = data
            frames = data.count(b"\n") >> 1
            self._spoken += frames
            return Chunk(data, frames, True)
        if self._done:
            return Chunk()
        try:
            frames_in = self._frames.feed(data)
        except FrameTooLarge as error:
            return Chunk(failure=_broken(str(error)), usage=self._metered())
        chunk = Chunk(frames=len(frames_in))
        self._read(frames_in, chunk)
        return chunk

    def eof(self) -> Chunk:
        chunk = Chunk()
        if rest := self._frames.flush():
            chunk.frames = 1
            # The client's parser needs the blank line that upstream left out.
            self._read([rest.rstrip(b"\r\n") + _FRAME_END], chunk)
        chunk.usage = self._metered()
        if self._done or chunk.failure:
            return chunk
        if self._finished or self._finish_passed_unread():
            # Some servers close after the finish without the end mark that clients wait for.
            chunk.out += b"data: [DONE]\n\n"
            chunk.done = chunk.content = True
            return chunk
        chunk.failure = _broken("the upstream ended its stream before the answer was complete")
        return chunk

    def _read(self, frames: list[bytes], chunk: Chunk) -> None:
        out = []
        for frame in frames:
            if self._read_one(frame, chunk):
                out.append(frame)
            if chunk.failure or chunk.done:
                chunk.usage = self._metered()
                break  # bytes after the end mark are not part of the answer
        chunk.out = b"".join(out)

    def _read_one(self, frame: bytes, chunk: Chunk) -> bool:
        """Take note of one frame; whether it goes on to the client."""
        event = parse(frame)
        if event is None:
            return True
        if event.data.strip() == _DONE:
            return self._end(chunk)
        try:
            read = _frame.decode(event.data)
        except msgspec.ValidationError:
            # Sound JSON of a shape we do not know: the client's to judge, and content for all we can tell.
            self._passing = chunk.content = True
            return True
        except UNREADABLE as error:
            chunk.failure = _broken(f"the upstream sent a frame that is not JSON: {error}")
            return False
        if event.name == "error" or read.error:
            chunk.failure = openai_errors.from_error(openai_errors.read(event.data))
            return False
        if read.usage is not None:
            self._usage = chunk.usage = from_wire(read.usage)
            if not read.choices and not self._keep_usage:
                return False
        for choice in read.choices or ():
            self._hear(choice, chunk)
        return True

    def _hear(self, choice: _Choice, chunk: Chunk) -> None:
        if choice.delta is not None and choice.delta.says_something():
            self._spoken += 1
            self._passing = chunk.content = True
        if choice.finish_reason:
            self._finished = self._passing = chunk.content = True

    def _end(self, chunk: Chunk) -> bool:
        if not self._passing:
            # Nothing was said and nothing finished: an end mark alone is not an answer.
            chunk.failure = _broken("the upstream ended its stream without an answer")
            return False
        self._passing = False
        self._done = chunk.done = chunk.content = True
        return True

    def _finish_passed_unread(self) -> bool:
        for frame in Frames().feed(self._unread):
            event = parse(frame)
            try:
                choices = _frame.decode(event.data).choices if event else None
            except UNREADABLE:
                return False
            if any(choice.finish_reason for choice in choices or ()):
                return True
        return False

    def _metered(self) -> Usage:
        return self._usage or estimate(self._prompt_estimate, self._spoken)


def _broken(message: str) -> Failure:
    return Failure(kind=Failed.BROKEN, message=message)
