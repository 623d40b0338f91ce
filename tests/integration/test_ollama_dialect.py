"""The translation to Ollama against the real one: codec alone, then the openai SDK through a router process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletionMessageParam

from gridtie.dialects.codecs import codec
from gridtie.dialects.types import AnswerOptions, Failed, Failure
from integration.station import Station
from standins.behaviour import Behaviour
from standins.cloud import Cloud
from standins.decoded import ask
from standins.fixtures import RouterProcess, routing_file, strict_openai

CODEC = codec("openai", "ollama")
# A red pixel.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
IMAGE = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello in three words."}]
# Many messages, each of which fits: what Ollama would cut in silence if it were allowed to.
TOO_LONG = [{"role": ("user", "assistant")[turn % 2], "content": "red green blue " * 200} for turn in range(41)]


@pytest.fixture(scope="module")
def model(station: Station) -> dict[str, Any]:
    """The small model's entry in station.json."""
    found: dict[str, Any] = next(each for each in station.facts["models"] if "smoke-test" in each["purposes"])
    return found


def send(url: str, model: str, **fields: Any) -> httpx.Response:
    """A client's request, translated, to the real Ollama."""
    body = {"model": "probe", "messages": HELLO, "max_tokens": 16, "temperature": 0, "seed": 1} | fields
    call = ask(CODEC, json.dumps(body).encode(), model)
    return httpx.post(url + call.path, content=call.body, timeout=110)


def failed(answer: httpx.Response) -> Failure:
    assert answer.status_code >= 400, answer.text
    headers = {name.lower().encode(): value.encode() for name, value in answer.headers.items()}
    return CODEC.failure(answer.status_code, headers, answer.content)


def test_a_whole_answer_and_a_stream_agree(ollama_url: str, model: dict[str, Any]) -> None:
    """The same greedy request, streamed and not, has the same prompt tokens and a text each."""
    whole = CODEC.whole(send(ollama_url, model["name"]).content, 1)
    decoder = CODEC.stream(AnswerOptions(1, wants_usage=True))
    chunk = decoder.feed(send(ollama_url, model["name"], stream=True).content)

    assert (whole.failure, chunk.failure, chunk.done) == (None, None, True)
    assert whole.usage is not None
    assert chunk.usage is not None
    assert not whole.usage.estimated
    assert (whole.usage.input, 1 <= chunk.usage.output <= 16) == (chunk.usage.input, True)
    assert json.loads(whole.body)["choices"][0]["message"]["content"]


def test_max_tokens_and_stop_are_obeyed(ollama_url: str, model: dict[str, Any]) -> None:
    """The limit ends an answer as `length`; a stop sequence never shows."""
    short = json.loads(CODEC.whole(send(ollama_url, model["name"], max_tokens=2).content, 1).body)
    stopped = json.loads(CODEC.whole(send(ollama_url, model["name"], max_tokens=40, stop=[" "]).content, 1).body)

    assert (short["choices"][0]["finish_reason"], short["usage"]["completion_tokens"]) == ("length", 2)
    assert " " not in stopped["choices"][0]["message"]["content"]


def test_a_schema_is_enforced(ollama_url: str, model: dict[str, Any]) -> None:
    """The grammar leaves the model no other way."""
    # A plain string: in an object the grammar admits white space, which a small model may go on writing.
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": ["vermilion"]}}}
    whole = CODEC.whole(send(ollama_url, model["name"], response_format=asked).content, 1)

    assert json.loads(whole.body)["choices"][0]["message"]["content"] == '"vermilion"'


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_that_does_not_fit_is_refused_with_both_counts(
    ollama_url: str, model: dict[str, Any], stream: bool
) -> None:
    """Not one message is dropped: Ollama says how long the chat is and how much fits."""
    failure = failed(send(ollama_url, model["name"], messages=TOO_LONG, stream=stream))

    assert (failure.kind, failure.context) == (Failed.CONTEXT, model["context"])
    assert failure.prompt_tokens is not None
    assert failure.prompt_tokens > model["context"]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"tools": [TOOL]}, Failed.CAPABILITY),
        ({"messages": [{"role": "user", "content": IMAGE}]}, Failed.CAPABILITY),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}}},
            Failed.CAPABILITY,
        ),
    ],
    ids=["tools", "image", "schema"],
)
def test_what_the_model_cannot_do_is_a_capability_gap(
    ollama_url: str, model: dict[str, Any], fields: dict[str, Any], kind: Failed
) -> None:
    """A gap of this model is told from a mistake of the client: another target may do it."""
    assert failed(send(ollama_url, model["name"], **fields)).kind is kind


def test_a_model_that_is_not_there(ollama_url: str) -> None:
    """A model that nobody pulled is re-routed, not the client's fault."""
    assert failed(send(ollama_url, "gridtie/nobody:1b")).kind is Failed.MODEL_MISSING


def test_the_model_keeps_its_context(ollama_url: str, model: dict[str, Any]) -> None:
    """No request makes Ollama load the model again with another context."""
    send(ollama_url, model["name"], max_tokens=1)
    loaded = {each["name"]: each for each in httpx.get(f"{ollama_url}/api/ps").json()["models"]}

    assert loaded[model["name"]]["context_length"] == model["context"]


# -- The openai SDK through a router process -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def router(
    ollama_url: str,
    model: dict[str, Any],
    shared_cloud: Cloud,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RouterProcess]:
    """`probe` is the real model alone; `coder` has a cloud behind it."""
    aliases: dict[str, dict[str, Any]] = {
        "probe": {"local": f"ollama/{model['name']}"},
        "coder": {"local": f"ollama/{model['name']}", "cloud": {"provider": "openai", "model": "gpt-5.4-mini"}},
    }
    text = routing_file(shared_cloud, authority, aliases, defaults={"alias": "probe"})
    routing = json.loads(text)
    routing["providers"]["ollama"] = {"type": "ollama", "base_url": ollama_url, "locality": "local"}
    secrets = {"here": "sk-here", "openai": "sk-openai", "anthropic": "sk-ant-x"}
    process = RouterProcess(tmp_path_factory.mktemp("router"), json.dumps(routing), secrets)
    yield process
    assert process.stop() == 0


@pytest.fixture
def client(router: RouterProcess, cloud: Cloud) -> Iterator[openai.OpenAI]:
    with strict_openai(router, timeout=110) as made:
        yield made


def test_the_sdk_gets_a_whole_answer(client: openai.OpenAI) -> None:
    """Text, a finish and exact usage."""
    answer = client.chat.completions.create(model="probe", messages=HELLO, max_tokens=16)

    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 16


def test_the_sdk_gets_a_stream_with_usage(client: openai.OpenAI) -> None:
    """Many chunks, and usage last."""
    *chunks, last = client.chat.completions.create(
        model="probe", messages=HELLO, max_tokens=16, stream=True, stream_options={"include_usage": True}
    )

    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) > 1
    assert last.usage is not None
    assert last.usage.completion_tokens <= 16


class Sum(pydantic.BaseModel):
    total: int


def test_the_sdk_gets_an_answer_held_to_a_schema(client: openai.OpenAI) -> None:
    """The answer parses, right or wrong."""
    answer = client.chat.completions.parse(
        model="probe", messages=[{"role": "user", "content": "2 + 3?"}], response_format=Sum, max_tokens=48, seed=1
    )

    assert isinstance(answer.choices[0].message.parsed, Sum)


def test_a_chat_that_does_not_fit_is_a_typed_error_where_nothing_else_may_take_it(client: openai.OpenAI) -> None:
    """The SDK's own exception, with the code that clients know."""
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="probe", messages=TOO_LONG)  # type: ignore[arg-type]  # built in a loop

    assert raised.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    "fields",
    [{"messages": TOO_LONG}, {"tools": [TOOL]}, {"messages": [{"role": "user", "content": IMAGE}]}, {"n": 2}],
    ids=["too long", "tools", "image", "n"],
)
def test_what_the_local_model_cannot_take_goes_whole_to_the_cloud(
    client: openai.OpenAI, cloud: Cloud, fields: dict[str, Any]
) -> None:
    """The next target gets the request as the client sent it."""
    asked = {"messages": HELLO} | fields
    answer = client.chat.completions.create(model="coder", **asked)

    assert answer.choices[0].message.content == Behaviour().text
    assert cloud.requests[0].body["messages"] == asked["messages"]
