"""Whole answers of completions, prompts and embeddings, where the server writes something odd."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import Dialect, Failed


def frames(*texts: str) -> bytes:
    """A stream of a completion."""
    choices = [{"index": 0, "text": text, "finish_reason": None} for text in texts]
    choices.append({"index": 0, "text": "", "finish_reason": "stop"})
    data = [json.dumps({"id": "cmpl-1", "choices": [choice]}) for choice in choices]
    return "".join(f"data: {each}\n\n" for each in (*data, "[DONE]")).encode()


def lines(*texts: str) -> bytes:
    """A stream of Ollama's for a prompt."""
    base = {"model": "m", "created_at": "2026-11-22T14:00:00Z"}
    data = [{**base, "response": text, "done": False} for text in texts]
    data.append({**base, "response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2})
    return "".join(json.dumps(each) + "\n" for each in data).encode()


def test_a_completion_without_usage_is_metered_by_its_text() -> None:
    """It was taken for an answer of no tokens, which costs nothing."""
    body = json.dumps({"id": "c", "choices": [{"index": 0, "text": "word " * 80, "finish_reason": "stop"}]}).encode()

    usage = codec("openai-completions", "openai").whole(body, 7).usage

    assert usage is not None
    assert usage.estimated
    assert usage.output == 100


@pytest.mark.parametrize(
    ("client", "target", "body", "text"),
    [
        ("openai-completions", "openai", frames("hel", "lo"), lambda answer: answer["choices"][0]["text"]),
        ("ollama-generate", "ollama", lines("hel", "lo"), lambda answer: answer["response"]),
    ],
)
def test_a_stream_in_place_of_a_whole_answer_keeps_its_text(
    client: Dialect, target: Dialect, body: bytes, text: Any
) -> None:
    """It came as the answer of a chat, in which such a client finds no text."""
    whole = codec(client, target).whole(body, 7)

    assert whole.failure is None
    assert text(json.loads(whole.body)) == "hello"


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("openai", lambda text: {"delta": {"content": text}}),
        ("openai-completions", lambda text: {"text": text}),
    ],
)
def test_each_of_several_answers_keeps_its_index_where_a_stream_came_in_place_of_a_whole_one(
    client: Dialect, said: Any
) -> None:
    """Of a completion all but the first were lost."""
    pieces = [(1, "b"), (0, "a"), (1, "bb"), (0, "aa")]
    choices = [{"index": index, "finish_reason": None, **said(text)} for index, text in pieces]
    choices += [{"index": index, "finish_reason": "stop", **said("")} for index in (0, 1)]
    stream = b"".join(b"data: " + json.dumps({"id": "c-1", "choices": [each]}).encode() + b"\n\n" for each in choices)

    whole = codec(client, "openai").whole(stream + b"data: [DONE]\n\n", 7)

    assert whole.failure is None
    found = json.loads(whole.body)["choices"]
    assert [each["index"] for each in found] == [0, 1]
    assert [each["text"] if "text" in each else each["message"]["content"] for each in found] == ["aaa", "bbb"]


@pytest.mark.parametrize("client", ["openai-embeddings", "openai-embeddings-base64", "ollama-embed"])
@pytest.mark.parametrize("vector", ["null", "{}", "7"])
def test_what_is_no_vector_is_no_answer(client: Dialect, vector: str) -> None:
    """The next target is asked; it was passed on as a good answer, or was a fault inside the router."""
    whole = codec(client, "ollama").whole(b'{"embeddings":[%b]}' % vector.encode(), 7)

    assert whole.failure is not None
    assert whole.failure.kind is Failed.BROKEN


@pytest.mark.parametrize("vector", ['"AAAA"', "[1e400]", '["a"]'])
def test_a_vector_that_cannot_be_packed_is_no_answer(vector: str) -> None:
    whole = codec("openai-embeddings-base64", "ollama").whole(b'{"embeddings":[%b]}' % vector.encode(), 7)

    assert whole.failure is not None
    assert whole.failure.kind is Failed.BROKEN
