"""The official openai SDK against a real router process, in front of clouds over TLS."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pydantic
import pytest
from openai.types.chat import (
    ChatCompletionMessageParam,
    ChatCompletionMessageToolCallUnion,
    ChatCompletionToolUnionParam,
)

from standins.behaviour import BY_MODEL, HUGE, Behaviour, Refusal
from standins.cloud import Cloud
from standins.fixtures import RouterProcess, routing_file, strict_openai

TEXT = Behaviour().text
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
ADD: ChatCompletionToolUnionParam = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "adds",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
}
SECRETS = {"here": "sk-here", "openai": "sk-openai", "anthropic": "sk-ant-x"}
FIRST_TOKEN_SECONDS = 1.5


def aliases() -> dict[str, dict[str, Any]]:
    """`gpt` and `claude` are clouds; `local-FAULT` is a local model with a fault and a good cloud behind it."""
    made: dict[str, dict[str, Any]] = {
        "gpt": {"local": None, "cloud": {"provider": "openai", "model": "gpt-5.4-mini"}},
        "claude": {"local": None, "cloud": {"provider": "anthropic", "model": "claude-haiku-5-5"}},
        "local": {"local": "here/small"},
    }
    for name in BY_MODEL:
        fault = name.removeprefix("standin-")
        made[f"gpt-{fault}"] = {"local": None, "cloud": {"provider": "openai", "model": name}}
        made[f"claude-{fault}"] = {"local": None, "cloud": {"provider": "anthropic", "model": name}}
        made[f"local-{fault}"] = {"local": f"here/{name}", "cloud": {"provider": "openai", "model": "gpt-5.4-mini"}}
        made[f"alone-{fault}"] = {"local": f"here/{name}"}
    return made


@pytest.fixture(scope="module")
def router(shared_cloud: Cloud, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """One router for all tests here; each test asks for aliases of its own, so that breakers do not mix."""
    timeouts = {"connect": 2, "first_token": FIRST_TOKEN_SECONDS, "first_token_cold": FIRST_TOKEN_SECONDS}
    text = routing_file(
        shared_cloud, authority, aliases(), timeouts={**timeouts, "between_tokens": 2, "total": 30},
        defaults={"alias": "gpt"},
    )  # fmt: skip
    process = RouterProcess(tmp_path_factory.mktemp("router"), text, SECRETS)
    yield process
    assert process.stop() == 0


@pytest.fixture
def client(router: RouterProcess, cloud: Cloud) -> Iterator[openai.OpenAI]:
    with strict_openai(router, timeout=30) as made:
        yield made


def record(client: openai.OpenAI, request_id: str) -> dict[str, Any]:
    """The ledger's row of a request."""
    root = str(client.base_url).removesuffix("/v1/")
    answer = httpx2.get(
        f"{root}/gridtie/requests/{request_id}", headers={"authorization": f"Bearer {client.api_key}"}, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    row: dict[str, Any] = answer.json()
    return row


CLOUDS = pytest.mark.parametrize("model", ["gpt", "claude"])


@CLOUDS
def test_whole(client: openai.OpenAI, model: str) -> None:
    """An unstreamed answer, with usage."""
    answer = client.chat.completions.create(model=model, messages=HELLO, temperature=0.2)

    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0


@CLOUDS
def test_stream(client: openai.OpenAI, cloud: Cloud, model: str) -> None:
    """A stream as the client asked for it: without usage, though usage is asked of the upstream."""
    chunks = list(client.chat.completions.create(model=model, messages=HELLO, stream=True))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert cloud.requests[0].body["stream"] is True


def test_several_answers_at_once_keep_their_index(client: openai.OpenAI) -> None:
    """Whole, and in a stream in which they take turns."""
    whole = client.chat.completions.create(model="gpt", messages=HELLO, n=3)
    said = {0: "", 1: "", 2: ""}
    ended = []
    for chunk in client.chat.completions.create(model="gpt", messages=HELLO, n=3, stream=True):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
            ended += [choice.index] if choice.finish_reason else []

    assert [(choice.index, choice.message.content) for choice in whole.choices] == [(0, TEXT), (1, TEXT), (2, TEXT)]
    assert said == {0: TEXT, 1: TEXT, 2: TEXT}
    assert sorted(ended) == [0, 1, 2]


@CLOUDS
def test_stream_with_usage(client: openai.OpenAI, model: str) -> None:
    """A client that asks for usage gets it, in a last chunk of its own."""
    *chunks, last = client.chat.completions.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )

    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens > 0
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT


@CLOUDS
@pytest.mark.parametrize("fault", ["usage-null", "usage-missing"])
def test_a_stream_is_metered_whatever_upstream_says_of_usage(client: openai.OpenAI, model: str, fault: str) -> None:
    """`usage: null` in every frame, or none at all: the text arrives whole and the ledger has tokens."""
    with client.chat.completions.with_raw_response.create(
        model=f"{model}-{fault}", messages=HELLO, stream=True
    ).parse() as stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        row = record(client, stream.response.headers["x-gridtie-request-id"])

    assert text == TEXT
    assert row["output_tokens"] > 0
    # Anthropic's streams always carry counts; OpenAI's did not here, so they are an estimate and say so.
    assert row.get("estimated", False) is (model == "gpt")


def called(call: ChatCompletionMessageToolCallUnion) -> tuple[str, object]:
    assert call.type == "function"
    return call.function.name, json.loads(call.function.arguments)


@CLOUDS
def test_tools(client: openai.OpenAI, cloud: Cloud, model: str) -> None:
    """Tools go up, calls come down, and the results go up again in the upstream's own form."""
    answer = client.chat.completions.create(model=f"{model}-tools", messages=HELLO, tools=[ADD], tool_choice="auto")
    message = answer.choices[0].message
    assert message.tool_calls is not None
    calls = [
        (call.function.name, json.loads(call.function.arguments))
        for call in message.tool_calls
        if call.type == "function"
    ]
    results: list[ChatCompletionMessageParam] = [
        {"role": "tool", "tool_call_id": call.id, "content": "5"} for call in message.tool_calls
    ]

    again = client.chat.completions.create(
        model=model,
        messages=[*HELLO, message.to_dict(), *results],
        tools=[ADD],  # type: ignore[list-item]  # as SDK users do
    )

    assert calls == [("add", {"a": 2, "b": 3}), ("now", {})]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert again.choices[0].message.content == TEXT


@CLOUDS
def test_streamed_tools(client: openai.OpenAI, model: str) -> None:
    """The SDK's own accumulation of a stream yields the calls with their arguments."""
    with client.chat.completions.stream(model=f"{model}-tools", messages=HELLO, tools=[ADD]) as stream:
        message = stream.get_final_completion().choices[0].message

    assert message.tool_calls is not None
    assert [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls] == [
        ("add", {"a": 2, "b": 3}),
        ("now", {}),
    ]


class Verdict(pydantic.BaseModel):
    approved: bool
    reasons: list[str]


@CLOUDS
def test_structured_output(client: openai.OpenAI, model: str) -> None:
    """An answer held to a schema parses as that schema."""
    answer = client.chat.completions.parse(model=model, messages=HELLO, response_format=Verdict)

    assert answer.choices[0].message.parsed == Verdict(approved=True, reasons=["text"])


@CLOUDS
def test_images(client: openai.OpenAI, cloud: Cloud, model: str) -> None:
    """An image arrives with its data."""
    parts: Any = [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])

    assert b"iVBORw0KGgo=" in cloud.requests[0].raw


@CLOUDS
def test_reasoning(client: openai.OpenAI, model: str) -> None:
    """Reasoning arrives apart from the text."""
    stream = client.chat.completions.create(model=f"{model}-reasoning", messages=HELLO, stream=True)
    deltas = [chunk.choices[0].delta for chunk in stream]

    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "The user greets."
    assert "".join(delta.content or "" for delta in deltas) == TEXT


@CLOUDS
def test_a_huge_answer_arrives_whole(client: openai.OpenAI, model: str) -> None:
    """Five thousand chunks, none lost."""
    stream = client.chat.completions.create(model=f"{model}-huge", messages=HELLO, stream=True)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == HUGE


def test_messages_reach_a_cloud_of_the_same_dialect_byte_for_byte(router: RouterProcess, cloud: Cloud) -> None:
    """Not one byte of the prompt is written anew."""
    messages = b'[ {"role":"user" , "content":"caf\\u00e9 \xc3\xa9", "x":1.50} ]'
    headers = {"authorization": f"Bearer {router.key}", "content-type": "application/json"}

    answer = httpx2.post(
        f"{router.url}/v1/chat/completions", content=b'{"model":"gpt","messages":' + messages + b"}", headers=headers,
        trust_env=False,
    )  # fmt: skip

    assert answer.status_code == 200
    assert cloud.requests[0].raw == b'{"model":"gpt-5.4-mini","messages":' + messages + b"}"


@pytest.mark.parametrize(
    ("model", "header", "sent"),
    [
        ("gpt", "authorization", "Bearer sk-openai"),
        ("claude", "x-api-key", "sk-ant-x"),
        ("local", "authorization", "Bearer sk-here"),
    ],
)
def test_credentials(client: openai.OpenAI, cloud: Cloud, model: str, header: str, sent: str) -> None:
    """Upstream sees its own key and nothing of the client's."""
    client.chat.completions.create(model=model, messages=HELLO, extra_headers={"x-gridtie-tags": "a", "cookie": "c"})
    received = cloud.requests[0].headers

    assert received[header] == sent
    assert received["accept-encoding"] == "identity"
    assert client.api_key not in str(received)
    assert not {"cookie", "x-gridtie-tags", "x-stainless-lang"} & received.keys()


# -- Errors ----------------------------------------------------------------------------------------------------------


def test_a_wrong_key(router: RouterProcess, client: openai.OpenAI) -> None:
    """The SDK's own exception for a key that nobody issued."""
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="gt-" + "z" * 43).chat.completions.create(model="gpt", messages=HELLO)


def test_an_unknown_model(client: openai.OpenAI) -> None:
    """A name that is no alias is not found, and the error names it."""
    with pytest.raises(openai.NotFoundError, match="no-such-model"):
        client.chat.completions.create(model="no-such-model", messages=HELLO)


@CLOUDS
def test_busy(client: openai.OpenAI, model: str) -> None:
    """A 429 stays one, with the waiting time that upstream asked for."""
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model=f"{model}-busy", messages=HELLO)

    assert 1 <= int(raised.value.response.headers["retry-after"]) <= 7


def test_overloaded(client: openai.OpenAI) -> None:
    """Anthropic's 529 is a 503 for a client that has never heard of it."""
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model="claude-overloaded", messages=HELLO)

    assert raised.value.status_code == 503


@CLOUDS
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("context", openai.BadRequestError),
        ("invalid", openai.BadRequestError),
        ("broken", openai.InternalServerError),
        ("junk", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(
    client: openai.OpenAI, model: str, fault: str, error: type[openai.APIStatusError], stream: bool
) -> None:
    """Whatever happens upstream, streamed or not, it is an exception of the SDK's own, and says whose fault it is."""
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=f"{model}-{fault}", messages=HELLO, stream=stream)

    assert isinstance(raised.value.body, dict)
    # The client's own fault comes in upstream's own words, which name no source.
    assert raised.value.body.get("source") == ("upstream" if (model, fault) != ("gpt", "invalid") else None)


@CLOUDS
def test_a_refused_key_of_the_routers_is_not_the_clients(client: openai.OpenAI, model: str) -> None:
    """A 401 would send people looking at their own key; the second time nobody even asks upstream."""
    for source in ("upstream", "gridtie"):
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model=f"{model}-unauthorized", messages=HELLO)

        assert isinstance(raised.value.body, dict)
        assert raised.value.body["source"] == source


def test_the_clients_own_fault_comes_in_upstreams_words(client: openai.OpenAI) -> None:
    """A mistake in the request is explained by the one that noticed it."""
    with pytest.raises(openai.BadRequestError, match="Invalid value for 'messages'"):
        client.chat.completions.create(model="gpt-invalid", messages=HELLO)


def test_anthropics_answers_are_dated(client: openai.OpenAI) -> None:
    """Anthropic gives no time, OpenAI's clients expect one."""
    answer = client.chat.completions.create(model="claude", messages=HELLO)

    assert abs(answer.created - time.time()) < 60


def test_a_malformed_request_is_told_so_by_a_translator(client: openai.OpenAI, cloud: Cloud) -> None:
    """What is wrong everywhere is the client's own fault, whatever dialect the target speaks."""
    robot: Any = [{"role": "robot", "content": "x"}]

    with pytest.raises(openai.BadRequestError, match="role") as raised:
        client.chat.completions.create(model="claude", messages=robot)

    assert raised.value.code == "invalid_request"
    assert cloud.requests == []


@pytest.mark.parametrize(
    "extra",
    [{"n": 2}, {"logprobs": True}, {"response_format": {"type": "json_object"}}, {"presence_penalty": 1.0}],
    ids=["n", "logprobs", "json_object", "penalty"],
)
def test_what_a_dialect_cannot_say_is_refused(client: openai.OpenAI, cloud: Cloud, extra: dict[str, Any]) -> None:
    """Nothing is sent without a part that matters."""
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="claude", messages=HELLO, **extra)

    assert cloud.requests == []


@CLOUDS
@pytest.mark.parametrize("fault", ["cut", "unended", "error-in-stream"])
def test_a_stream_that_breaks_off_is_an_error_and_never_a_splice(
    client: openai.OpenAI, cloud: Cloud, model: str, fault: str
) -> None:
    """After the first words nobody else may go on: the SDK raises, and no other upstream was asked."""
    cloud.script(Behaviour(text=TEXT, cut_after=6, cut=BY_MODEL[f"standin-{fault}"].cut))
    heard = []

    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(model=f"{model}-{fault}", messages=HELLO, stream=True):
            heard += [choice.delta.content or "" for choice in chunk.choices]

    assert TEXT.startswith("".join(heard).strip())
    assert "".join(heard)
    assert len(cloud.requests) == 1


BEFORE_CONTENT = (
    *("broken", "busy", "overloaded", "missing", "context", "unauthorized"),
    *("cut-at-once", "cut-before-content", "slow", "junk"),
)

# -- Failover --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "stream"),
    # An unstreamed answer has no first token to wait for, only an end.
    [(fault, stream) for fault in BEFORE_CONTENT for stream in (False, True) if stream or fault != "slow"],
)
def test_a_local_fault_before_the_first_word_is_the_clouds_turn(
    client: openai.OpenAI, fault: str, stream: bool
) -> None:
    """Whatever goes wrong locally before content, the client gets one whole answer from the cloud."""
    raw = client.chat.completions.with_raw_response.create(model=f"local-{fault}", messages=HELLO, stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse())  # type: ignore[union-attr]  # a stream
    else:
        text = raw.parse().choices[0].message.content  # type: ignore[union-attr]  # a completion
    row = record(client, raw.headers["x-gridtie-request-id"])

    assert text == TEXT
    assert row["locality"] == "cloud"


@pytest.mark.parametrize("fault", ["broken", "context", "cut-at-once"])
def test_a_private_request_never_leaves(client: openai.OpenAI, cloud: Cloud, fault: str) -> None:
    """Where the local model fails, a private request fails, on every path."""
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(
            model=f"local-{fault}", messages=HELLO, extra_headers={"x-gridtie-tags": "private"}
        )

    assert {request.headers["authorization"] for request in cloud.requests} <= {"Bearer sk-here"}


def test_a_mistake_of_the_client_is_not_tried_elsewhere(client: openai.OpenAI, cloud: Cloud) -> None:
    """What is wrong for one upstream is wrong for the next, and would be billed there."""
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="local-invalid", messages=HELLO)

    assert len(cloud.requests) == 1


def test_a_slow_first_token_is_given_up_in_time(client: openai.OpenAI) -> None:
    """A silent upstream costs its time-out, not the client's patience."""
    begun = time.monotonic()

    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model="alone-silent", messages=HELLO, stream=True)

    assert raised.value.status_code == 504
    assert time.monotonic() - begun < FIRST_TOKEN_SECONDS + 5


def test_the_sdks_own_retry_obeys_the_router(client: openai.OpenAI, cloud: Cloud) -> None:
    """With its retries on, the SDK comes back after a refusal and gets its answer."""
    cloud.script(Behaviour(refusal=Refusal(503, "overloaded", "Loading model")), model="small")
    patient = client.with_options(max_retries=2)

    assert patient.chat.completions.create(model="local", messages=HELLO).choices[0].message.content == TEXT


def test_a_body_nested_beyond_reason_is_refused(router: RouterProcess) -> None:
    """Depth is answered with a 400, and the router lives on."""
    body = b'{"model":"gpt","messages":' + b"[" * 100_000
    headers = {"authorization": f"Bearer {router.key}", "content-type": "application/json"}

    answer = httpx2.post(f"{router.url}/v1/chat/completions", content=body, headers=headers, trust_env=False)

    assert answer.status_code == 400
    assert httpx2.get(f"{router.url}/healthz", trust_env=False).status_code == 200
