"""Several answers to one request (`n`): told apart by an index where there is one, else refused before sending."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from gridtie.dialects.anthropic.facts import read as read_anthropic
from gridtie.dialects.codecs import codec
from gridtie.dialects.facts import Facts
from gridtie.dialects.ollama.facts import read_chat, read_generate
from gridtie.dialects.openai_responses.facts import read as read_responses
from gridtie.dialects.types import AnswerOptions, Dialect, InvalidRequest
from standins.decoded import run

MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}
WITHOUT_INDEX = pytest.mark.parametrize(
    ("read", "body"),
    [
        (read_anthropic, {"max_tokens": 5, **MESSAGES}),
        (read_responses, {"input": "hi"}),
        (read_chat, MESSAGES),
        (read_generate, {"prompt": "hi"}),
    ],
    ids=["anthropic", "responses", "ollama chat", "ollama generate"],
)


@WITHOUT_INDEX
@pytest.mark.parametrize(("several", "shown"), [(2, "2"), (10**30, "a number"), ("2", "a string"), (0, "0")])
def test_a_dialect_without_an_index_takes_one_answer(
    read: Callable[[bytes], Facts], body: dict[str, Any], several: object, shown: str
) -> None:
    """Whoever should answer: a server that passed over it would give one where several were asked for."""
    with pytest.raises(InvalidRequest) as refusal:
        read(json.dumps({"model": "m", **body, "n": several}).encode())

    assert (refusal.value.path, refusal.value.found) == ("n", shown)
    assert refusal.value.wanted.startswith("1")


@WITHOUT_INDEX
@pytest.mark.parametrize("one", [1, None])
def test_one_answer_is_what_it_gives(read: Callable[[bytes], Facts], body: dict[str, Any], one: int | None) -> None:
    assert read(json.dumps({"model": "m", **body, "n": one}).encode()).choices == 1


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("openai", lambda text: {"delta": {"content": text}}),
        ("openai-completions", lambda text: {"text": text}),
    ],
)
def test_the_index_of_each_streamed_answer_is_kept(client: Dialect, said: Callable[[str], Any]) -> None:
    """And the stream is whole when each of them has finished, not the first."""
    pieces = [(0, "a", None), (1, "b", None), (0, "", "stop"), (1, "bb", None)]
    sent = [
        b"data: " + json.dumps({"id": "c", "choices": [{"index": i, "finish_reason": end, **said(text)}]}).encode()
        for i, text, end in pieces
    ]
    stream = b"".join(frame + b"\n\n" for frame in sent)
    last = b'data: {"id":"c","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}\n\n'

    _, broken_off = run(codec(client, "openai").stream(AnswerOptions(7, choices=2)), [stream])
    out, chunks = run(codec(client, "openai").stream(AnswerOptions(7, choices=2)), [stream, last])

    assert broken_off[-1].failure is not None
    assert chunks[-1].done
    assert out == stream + last + b"data: [DONE]\n\n"
