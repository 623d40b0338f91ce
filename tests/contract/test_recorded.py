"""The codecs against what real servers sent (`wire/`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from openai.types.chat import ChatCompletionChunk

from gridtie.dialects.codecs import codec
from gridtie.dialects.sse import EventSplitter, parse
from gridtie.dialects.types import AnswerOptions, Dialect, Failed, Usage

WIRE = Path(__file__).parent / "wire"
LLAMA_SERVER: tuple[Dialect, str, Usage] = (
    "openai", "llama-server-stream.sse", Usage(input=33, output=6, cached=6),
)  # fmt: skip
OLLAMA: tuple[Dialect, str, Usage] = ("ollama", "ollama-0.34.4-stream.ndjson", Usage(input=33, output=6))
OLLAMA_BEFORE: tuple[Dialect, str, Usage] = ("ollama", "ollama-0.32.15-stream.ndjson", Usage(input=33, output=6))


@pytest.mark.parametrize(
    ("dialect", "file", "usage"), [LLAMA_SERVER, OLLAMA, OLLAMA_BEFORE], ids=["llama-server", "ollama", "ollama before"]
)
@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_a_recorded_stream(dialect: Dialect, file: str, usage: Usage, size: int) -> None:
    """However it is cut, it becomes the same valid chunks, without the usage that nobody asked for."""
    data = (WIRE / file).read_bytes()
    decoder = codec("openai", dialect).stream(AnswerOptions(1))

    chunks = [decoder.feed(data[start : start + size]) for start in range(0, len(data), size)]
    end = decoder.eof()
    *frames, mark = EventSplitter().feed(b"".join(chunk.out for chunk in chunks))
    events = [parse(frame) for frame in frames]
    sent = [ChatCompletionChunk.model_validate_json(event.data, strict=True) for event in events if event]

    assert "".join(chunk.choices[0].delta.content or "" for chunk in sent) == "Hello there! I'm here"
    assert (sent[-1].choices[0].finish_reason, mark) == ("length", b"data: [DONE]\n\n")
    assert (end.usage, end.failure) == (usage, None)


@pytest.mark.parametrize(
    ("dialect", "file", "tokens"),
    [
        ("openai", "llama-server-too-long.json", 12761),
        ("ollama", "ollama-0.32.15-too-long.json", 12761),
        ("ollama", "ollama-0.34.4-too-long.json", 8981),
    ],
)
def test_a_recorded_refusal_of_a_chat_that_does_not_fit(dialect: Dialect, file: str, tokens: int) -> None:
    """Both servers say how long the chat is and how much fits."""
    failure = codec("openai", dialect).failure(400, {}, (WIRE / file).read_bytes())

    assert (failure.kind, failure.prompt_tokens, failure.context) == (Failed.CONTEXT, tokens, 8192)
