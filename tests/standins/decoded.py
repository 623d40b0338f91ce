"""Codecs as a client sees them: a request made of a client's body, and all the bytes of an answer."""

from __future__ import annotations

from collections.abc import Iterable

from openai.types.chat import ChatCompletionChunk

from gridtie.dialects.openai_chat.facts import read
from gridtie.dialects.sse import EventSplitter, parse
from gridtie.dialects.types import Chunk, Codec, RequestOptions, StreamDecoder, UpstreamRequest


def ask(codec: Codec, body: bytes, model: str, *, stream: bool = False, include_usage: bool = True) -> UpstreamRequest:
    """What is sent upstream for a client's body."""
    return codec.request(read(body), model, RequestOptions(stream=stream, include_usage=include_usage))


def run(stream: StreamDecoder, pieces: Iterable[bytes]) -> tuple[bytes, list[Chunk]]:
    """Everything the client gets of a stream that comes in these pieces, and each step on the way."""
    chunks = [stream.feed(piece) for piece in pieces]
    chunks.append(stream.eof())
    return b"".join(chunk.out for chunk in chunks), chunks


def sdk_chunks(out: bytes) -> list[ChatCompletionChunk]:
    """The frames as the official SDK types see them; the last one is the end mark."""
    *frames, last = EventSplitter().feed(out)
    assert last == b"data: [DONE]\n\n"
    events = [parse(frame) for frame in frames]
    return [ChatCompletionChunk.model_validate_json(event.data, strict=True) for event in events if event]
