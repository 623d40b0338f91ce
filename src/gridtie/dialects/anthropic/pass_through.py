"""Anthropic client to Anthropic target: the request's bytes pass with another model's name, the answer's as they are.

The client's own `anthropic-version` and `anthropic-beta` go along: its body is written for them. Only reasoning without
a signature is left out: it is of an answer that a target of another dialect gave before, and Anthropic refuses it.
"""

from __future__ import annotations

import re

import msgspec

from gridtie.dialects.answer import Finish, Silent
from gridtie.dialects.anthropic import errors
from gridtie.dialects.anthropic.answer_reader import Answer
from gridtie.dialects.anthropic.answer_writer import EventWriter, WholeWriter
from gridtie.dialects.facts import BYTES_PER_TOKEN, Facts
from gridtie.dialects.found import kind
from gridtie.dialects.sse import without_comments
from gridtie.dialects.translation import read_whole
from gridtie.dialects.types import (
    AnswerOptions,
    Chunk,
    Failed,
    Failure,
    RequestOptions,
    StreamDecoder,
    UpstreamRequest,
    Usage,
    Whole,
)

MESSAGES_PATH = "/v1/messages"

_NULL, _EMPTY = msgspec.Raw(b"null"), msgspec.Raw(b'""')
# As `answer_writer` signs the reasoning of others.
_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')
_encode = msgspec.json.Encoder().encode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_FRAME_END, _COMMENT, _COLON = b"}\n\n", b"\n:", ord(":")
# Marks of events that have to be read; every other passes unread once the answer has begun. They may stand in a
# model's text, too: then it is read in vain.
_READ = (b"message_", b"error", b"event: ping")
_CONTENT = b"content_block_"


class _Ending(Silent):
    """Writes the end alone, which a stream that breaks off after its finish did not bring."""

    def end(self, reason: Finish, usage: Usage, *, wants_usage: bool) -> bytes:
        return _STOP


class PassThrough(Answer):
    """State of one stream; a `StreamDecoder`."""

    _passing = False

    def __init__(self, options: AnswerOptions) -> None:
        super().__init__(_Ending, options)

    def feed(self, data: bytes) -> Chunk:
        if (
            self._passing
            and data.endswith(_FRAME_END)
            and not self._splitter.held()
            and not any(mark in data for mark in _READ)
            and data[0] != _COLON
            and _COMMENT not in data
        ):
            frames = data.count(b"\n\n")
            # One event is about one token.
            self._said += BYTES_PER_TOKEN * frames
            return Chunk(data, frames, True, False, None, None, True)
        chunk = super().feed(data)
        if chunk.content and chunk.failure is None and not chunk.done:
            self._passing = self._finish is None
        return chunk

    def says_something(self, data: bytes) -> bool:
        return _CONTENT in data

    def _take(self, unit: bytes, out: list[bytes], chunk: Chunk) -> None:
        frames = chunk.frames
        super()._take(unit, [], chunk)
        # A ping counts for no frame.
        if chunk.failure is None and chunk.frames == frames:
            out.append(without_comments(unit))

    def _take_document(self, document: bytes, out: list[bytes], chunk: Chunk) -> None:
        # A message that comes whole to a request for a stream is told as one.
        self._write = EventWriter
        super()._take_document(document, out, chunk)


class AnthropicToAnthropic:
    """The `Codec` for targets that speak the client's own dialect."""

    translates = False

    def request(self, facts: Facts, model: str, options: RequestOptions) -> UpstreamRequest:
        fields = facts.fields.copy()
        fields["model"] = msgspec.Raw(_encode(model))
        if (messages := fields.get("messages")) is not None and _UNSIGNED.search(memoryview(messages)) is not None:
            fields["messages"] = _without_unsigned(messages)
        if facts.max_output is None and options.output_limit is not None:
            fields["max_tokens"] = msgspec.Raw(b"%d" % options.output_limit)
        path = f"{MESSAGES_PATH}?{facts.query}" if facts.query else MESSAGES_PATH
        return UpstreamRequest(path=path, body=_encode(fields), headers=facts.headers)

    def stream(self, options: AnswerOptions) -> StreamDecoder:
        return PassThrough(options)

    def collect(self, options: AnswerOptions) -> StreamDecoder:
        return Answer(WholeWriter, options)

    def whole(self, body: bytes, prompt_estimate: int) -> Whole:
        return read_whole(Answer, WholeWriter, body, prompt_estimate)

    def failure(self, status: int, headers: dict[bytes, bytes], body: bytes) -> Failure:
        failure = errors.classify(status, headers, body)
        own = failure.kind in (Failed.INVALID, Failed.POLICY) and errors.is_own(body)
        return msgspec.structs.replace(failure, body=body) if own else failure


class _Block(msgspec.Struct):
    type: str = ""
    signature: msgspec.Raw = _NULL


_block = msgspec.json.Decoder(_Block).decode


def _without_unsigned(messages: msgspec.Raw) -> msgspec.Raw:
    """The messages without reasoning that nobody signed; one that holds nothing else is left out as a whole."""
    kept = []
    for span in _list(messages):
        message = _fields(span)
        content = message.get("content", _NULL)
        if kind(content) == "a list":
            blocks = _list(content)
            signed = [each for each in blocks if not _is_unsigned(_block(each))]
            if blocks and not signed:
                continue
            if len(signed) < len(blocks):
                message["content"] = msgspec.Raw(_encode(signed))
                span = msgspec.Raw(_encode(message))
        kept.append(span)
    return msgspec.Raw(_encode(kept))


def _is_unsigned(block: _Block) -> bool:
    return block.type == "thinking" and block.signature == _EMPTY
