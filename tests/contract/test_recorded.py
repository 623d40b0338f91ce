"""The codecs against what real servers sent (`wire/`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from openai.types.chat import ChatCompletionChunk

from gridtie.dialects.codecs import codec
from gridtie.dialects.sse import EventSplitter, parse
from gridtie.dialects.types import AnswerOptions, Dialect, Failed, Usage
from gridtie.providers.target import Target
from gridtie.providers.vllm import Load, read_load
from gridtie.routing.health import Finding, finding
from gridtie.routing.probe import Answer

WIRE = Path(__file__).parent / "wire"
LLAMA_SERVER: tuple[Dialect, str, Usage] = (
    "openai", "llama-server-stream.sse", Usage(input=33, output=6, cached=6),
)  # fmt: skip
VLLM: tuple[Dialect, str, Usage] = ("openai", "vllm-0.32.0-stream.sse", Usage(input=33, output=6))
OLLAMA: tuple[Dialect, str, Usage] = ("ollama", "ollama-0.34.4-stream.ndjson", Usage(input=33, output=6))
OLLAMA_BEFORE: tuple[Dialect, str, Usage] = ("ollama", "ollama-0.32.15-stream.ndjson", Usage(input=33, output=6))


@pytest.mark.parametrize(
    ("dialect", "file", "usage"),
    [LLAMA_SERVER, VLLM, OLLAMA, OLLAMA_BEFORE],
    ids=["llama-server", "vllm", "ollama", "ollama before"],
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


@pytest.mark.parametrize(
    ("file", "kind", "counts"),
    [
        ("vllm-0.32.0-too-long.json", Failed.CONTEXT, (2049, 2048)),
        ("vllm-0.32.0-too-much.json", Failed.CONTEXT, (None, None)),
        ("vllm-0.32.0-tools.json", Failed.CAPABILITY, (None, None)),
    ],
)
def test_vllms_refusals_are_understood(file: str, kind: Failed, counts: tuple[int | None, int | None]) -> None:
    """It stops counting a prompt one token beyond its context; without a parser it takes no tools."""
    failure = codec("openai", "openai").failure(400, {}, (WIRE / file).read_bytes())

    assert (failure.kind, (failure.prompt_tokens, failure.context)) == (kind, counts)


def test_vllm_says_its_context_and_its_load() -> None:
    target = Target(
        id="gpu/m", provider="gpu", model="smollm2:135m", locality="local", dialect="openai", base_url="http://gpu/v1"
    )
    found = finding(target, Answer(200, (WIRE / "vllm-0.32.0-models.json").read_bytes()))

    assert found == Finding(True, True, context=2048, measured=True)
    assert read_load((WIRE / "vllm-0.32.0-metrics.txt").read_bytes()) == Load(running=0, waiting=0, cache=0.0)
