"""The pass-through against the real llama.cpp server of an embedded station."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import AnswerOptions, Failed, Failure
from integration.station import Station
from standins.decoded import ask

CODEC = codec("openai", "openai")
HELLO = [{"role": "user", "content": "Say hello in three words."}]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
IMAGE = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
TOO_LONG = [{"role": ("user", "assistant")[turn % 2], "content": "red green blue " * 200} for turn in range(41)]


@pytest.fixture(scope="module")
def model(embedded_station: Station) -> dict[str, Any]:
    """The small model's entry in station.json."""
    found: dict[str, Any] = next(each for each in embedded_station.facts["models"] if "smoke-test" in each["purposes"])
    return found


def send(url: str, model: str, **fields: Any) -> httpx.Response:
    """A client's request, with the model put in, to the real server."""
    body = {"model": "probe", "messages": HELLO, "max_tokens": 16, "temperature": 0, "seed": 1} | fields
    call = ask(CODEC, json.dumps(body).encode(), model, stream=bool(fields.get("stream")))
    return httpx.post(f"{url}/v1{call.path}", content=call.body, timeout=110)


def failed(answer: httpx.Response) -> Failure:
    assert answer.status_code >= 400, answer.text
    return CODEC.failure(answer.status_code, {}, answer.content)


def test_a_whole_answer_passes_untouched_with_exact_usage(embedded_url: str, model: dict[str, Any]) -> None:
    """The server's own body, and its counts."""
    answer = send(embedded_url, model["name"])
    whole = CODEC.whole(answer.content, 1)

    assert whole.body == answer.content
    assert whole.usage is not None
    assert (whole.usage.estimated, whole.usage.input > 1, whole.usage.output <= 16) == (False, True, True)


def test_a_stream_passes_without_the_usage_that_nobody_asked_for(embedded_url: str, model: dict[str, Any]) -> None:
    """All frames but the one that carries nothing but usage."""
    sent = send(embedded_url, model["name"], stream=True).content
    decoder = CODEC.stream(AnswerOptions(1))
    chunk = decoder.feed(sent)

    assert (chunk.done, chunk.failure) == (True, None)
    assert chunk.out.count(b"data: ") == sent.count(b"data: ") - 1
    assert chunk.usage is not None
    assert not chunk.usage.estimated


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_that_does_not_fit_is_refused_with_both_counts(
    embedded_url: str, model: dict[str, Any], stream: bool
) -> None:
    """The server shifts no context: it says how long the chat is and how much fits."""
    failure = failed(send(embedded_url, model["name"], messages=TOO_LONG, stream=stream))

    assert (failure.kind, failure.context) == (Failed.CONTEXT, model["context"])
    assert failure.prompt_tokens is not None
    assert failure.prompt_tokens > model["context"]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": IMAGE}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#/nowhere"}}}},
    ],
    ids=["image", "schema"],
)
def test_what_the_model_cannot_do_is_a_capability_gap(
    embedded_url: str, model: dict[str, Any], fields: dict[str, Any]
) -> None:
    """A gap of this server is told from a mistake of the client: another target may do it."""
    assert failed(send(embedded_url, model["name"], **fields)).kind is Failed.CAPABILITY
