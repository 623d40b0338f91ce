"""A decoder's answer as its client sees it: all of its bytes, and the frames in the official SDK's types."""

from __future__ import annotations

from collections.abc import Iterable

from openai.types.chat import ChatCompletionChunk

from gridtie.dialects.sse import Frames, parse
from gridtie.dialects.types import Chunk, StreamDecoder


def run(stream: StreamDecoder, pieces: Iterable[bytes]) -> tuple[bytes, list[Chunk]]:
    """Everything the client gets of a stream that comes in these pieces, and each step on the way."""
    chunks = [stream.feed(piece) for piece in pieces]
    chunks.append(stream.eof())
    return b"".join(chunk.out for chunk in chunks), chunks


def sdk_chunks(out: bytes) -> list[ChatCompletionChunk]:
    """The frames as the official SDK types see them; the last one is the end mark."""
    *frames, last = Frames().feed(out)
    assert last == b"data: [DONE]\n\n"
    events = [parse(frame) for frame in frames]
    return [ChatCompletionChunk.model_validate_json(event.data, strict=True) for event in events if event]
