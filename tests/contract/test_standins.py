"""The stand-in cloud is honest: the official SDKs, at their strictest, take it for the real one."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pydantic
import pytest
from anthropic.types import MessageParam, RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from standins.behaviour import Behaviour, Refusal, ToolCall
from standins.cloud import Cloud

EVENT = pydantic.TypeAdapter[RawMessageStreamEvent](RawMessageStreamEvent)
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
HELLO_CLAUDE: list[MessageParam] = [{"role": "user", "content": "Say hello."}]
TEXT = Behaviour().text


def trusting(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority / "ca.pem"))


@pytest.fixture
def gpt(cloud: Cloud, authority: Path) -> Iterator[openai.OpenAI]:
    http = openai.DefaultHttpxClient(verify=trusting(authority), trust_env=False)
    with openai.OpenAI(
        base_url=cloud.base_url("openai"), api_key="sk-x", max_retries=0, http_client=http,
        _strict_response_validation=True,
    ) as client:  # fmt: skip
        yield client


@pytest.fixture
def claude(cloud: Cloud, authority: Path) -> Iterator[anthropic.Anthropic]:
    http = anthropic.DefaultHttpxClient(verify=trusting(authority), trust_env=False)
    with anthropic.Anthropic(
        base_url=cloud.base_url("anthropic"), api_key="sk-x", max_retries=0, http_client=http,
        _strict_response_validation=True,
    ) as client:  # fmt: skip
        yield client


# -- OpenAI ----------------------------------------------------------------------------------------------------------


def test_openai_whole(gpt: openai.OpenAI) -> None:
    """A whole completion has text, a finish and usage."""
    answer = gpt.chat.completions.create(model="gpt-5.4-mini", messages=HELLO)

    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (TEXT, "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_openai_stream_without_usage(gpt: openai.OpenAI) -> None:
    """As the real API: no usage unless it is asked for."""
    chunks = list(gpt.chat.completions.create(model="gpt-5.4-mini", messages=HELLO, stream=True))

    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)


def test_openai_stream_with_usage(gpt: openai.OpenAI) -> None:
    """As the real API: null in every chunk, and then one without choices that carries it."""
    *chunks, last = gpt.chat.completions.create(
        model="gpt-5.4-mini", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )

    assert all("usage" in chunk.model_fields_set and chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage is not None


def test_openai_frames_are_valid_to_the_letter(cloud: Cloud, authority: Path) -> None:
    """Every frame validates against the SDK's model in strict mode, tool calls and reasoning among them."""
    cloud.script(Behaviour(reasoning="hm hm", calls=(ToolCall("add", {"a": 1}),)))
    body = {"model": "m", "messages": HELLO, "stream": True}

    with httpx2.Client(verify=trusting(authority), trust_env=False) as client:
        answer = client.post(
            f"{cloud.base_url('openai')}/chat/completions", json=body, headers={"authorization": "Bearer sk-x"}
        )
    frames = [frame.removeprefix("data: ") for frame in answer.text.split("\n\n") if frame]

    assert frames[-1] == "[DONE]"
    assert all(ChatCompletionChunk.model_validate_json(frame, strict=True) for frame in frames[:-1])


def test_openai_tools(gpt: openai.OpenAI) -> None:
    """The SDK's own accumulation of a stream yields the calls with their arguments."""
    with gpt.chat.completions.stream(model="standin-tools", messages=HELLO) as stream:
        message = stream.get_final_completion().choices[0].message

    assert message.tool_calls is not None
    assert [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls] == [
        ("add", {"a": 2, "b": 3}),
        ("now", {}),
    ]


class Verdict(pydantic.BaseModel):
    approved: bool
    reasons: list[str]


def test_openai_structured_output(gpt: openai.OpenAI) -> None:
    """An answer to a schema parses as that schema."""
    answer = gpt.chat.completions.parse(model="m", messages=HELLO, response_format=Verdict)

    assert answer.choices[0].message.parsed == Verdict(approved=True, reasons=["text"])


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("standin-busy", openai.RateLimitError, "rate_limit_exceeded"),
        ("standin-broken", openai.InternalServerError, None),
        ("standin-unauthorized", openai.AuthenticationError, "invalid_api_key"),
        ("standin-missing", openai.NotFoundError, "model_not_found"),
        ("standin-context", openai.BadRequestError, "context_length_exceeded"),
        ("standin-invalid", openai.BadRequestError, None),
    ],
)
def test_openai_errors(gpt: openai.OpenAI, model: str, error: type[openai.APIStatusError], code: str | None) -> None:
    """Every refusal is the exception that the real one would be."""
    with pytest.raises(error) as raised:
        gpt.chat.completions.create(model=model, messages=HELLO)

    assert raised.value.code == code
    assert raised.value.request_id == "req_standin"


def test_openai_busy_says_when_to_come_back(gpt: openai.OpenAI) -> None:
    """A 429 carries Retry-After."""
    with pytest.raises(openai.RateLimitError) as raised:
        gpt.chat.completions.create(model="standin-busy", messages=HELLO)

    assert raised.value.response.headers["retry-after"] == "7"


def test_openai_error_inside_a_stream(gpt: openai.OpenAI) -> None:
    """The SDK recognises an error event."""
    with pytest.raises(openai.APIError, match="had an error"):
        list(gpt.chat.completions.create(model="standin-error-in-stream", messages=HELLO, stream=True))


def test_openai_cut(gpt: openai.OpenAI) -> None:
    """A connection that breaks in the middle of an answer breaks the SDK's stream too."""
    stream = gpt.chat.completions.create(model="standin-cut", messages=HELLO, stream=True)

    with pytest.raises((httpx2.TransportError, openai.APIConnectionError)):
        list(stream)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({"model": "m"}, {}, 400),
        ({"model": "m", "messages": []}, {}, 400),
        ({"model": "m", "messages": HELLO, "stream_options": {"include_usage": True}}, {}, 400),
        ({"model": "m", "messages": HELLO}, {"authorization": "Bearer gt-aaaa"}, 401),
        ({"model": "m", "messages": HELLO}, {"authorization": ""}, 401),
    ],
)
def test_openai_rejects_what_the_real_one_rejects(
    cloud: Cloud, authority: Path, body: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    """A mistake of the router is not covered up by a lenient stand-in."""
    with httpx2.Client(verify=trusting(authority), trust_env=False) as client:
        answer = client.post(
            f"{cloud.base_url('openai')}/chat/completions",
            json=body,
            headers={"authorization": "Bearer sk-x"} | headers,
        )

    assert answer.status_code == status


# -- Anthropic -------------------------------------------------------------------------------------------------------


def test_anthropic_whole(claude: anthropic.Anthropic) -> None:
    """A whole message has text, a stop reason and usage."""
    answer = claude.messages.create(model="claude-haiku-5-5", max_tokens=99, messages=HELLO_CLAUDE)

    assert [block.text for block in answer.content if block.type == "text"] == [TEXT]
    assert (answer.stop_reason, answer.usage.output_tokens > 0) == ("end_turn", True)


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "standin-tools", "standin-reasoning", "standin-length"])
def test_anthropic_events_are_valid_to_the_letter(cloud: Cloud, authority: Path, model: str) -> None:
    """Every event validates against the SDK's models in strict mode."""
    body = {"model": model, "messages": HELLO_CLAUDE, "max_tokens": 9, "stream": True}
    headers = {"x-api-key": "sk-x", "anthropic-version": "2026-10-21"}

    with httpx2.Client(verify=trusting(authority), trust_env=False) as client:
        answer = client.post(f"{cloud.base_url('anthropic')}/v1/messages", json=body, headers=headers)
    events = [frame.split("\ndata: ") for frame in answer.text.split("\n\n") if frame]

    assert [json.loads(data)["type"] for _, data in events] == [name.removeprefix("event: ") for name, _ in events]
    assert all(EVENT.validate_json(data, strict=True) for name, data in events if name != "event: ping")


def test_anthropic_stream(claude: anthropic.Anthropic) -> None:
    """The SDK's own accumulation of a stream yields thinking and text."""
    with claude.messages.stream(model="standin-reasoning", max_tokens=99, messages=HELLO_CLAUDE) as stream:
        message = stream.get_final_message()

    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[1].type == "text"
    assert message.content[1].text == TEXT


def test_anthropic_tools(claude: anthropic.Anthropic) -> None:
    """The SDK's own accumulation of a stream yields the calls with their input."""
    with claude.messages.stream(model="standin-tools", max_tokens=99, messages=HELLO_CLAUDE) as stream:
        message = stream.get_final_message()

    assert [(block.name, block.input) for block in message.content if block.type == "tool_use"] == [
        ("add", {"a": 2, "b": 3}),
        ("now", {}),
    ]
    assert message.stop_reason == "tool_use"


@pytest.mark.parametrize(
    ("model", "error", "status"),
    [
        ("standin-busy", anthropic.RateLimitError, 429),
        ("standin-overloaded", anthropic.InternalServerError, 529),
        ("standin-broken", anthropic.InternalServerError, 500),
        ("standin-unauthorized", anthropic.AuthenticationError, 401),
        ("standin-missing", anthropic.NotFoundError, 404),
        ("standin-context", anthropic.BadRequestError, 400),
    ],
)
def test_anthropic_errors(
    claude: anthropic.Anthropic, model: str, error: type[anthropic.APIStatusError], status: int
) -> None:
    """Every refusal is the exception that the real one would be."""
    with pytest.raises(error) as raised:
        claude.messages.create(model=model, max_tokens=9, messages=HELLO_CLAUDE)

    assert raised.value.status_code == status


def test_anthropic_error_inside_a_stream(claude: anthropic.Anthropic) -> None:
    """The SDK recognises an error event."""
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        list(
            claude.messages.create(
                model="standin-error-in-stream", max_tokens=9, messages=HELLO_CLAUDE, stream=True
            )
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "headers", "status"),
    [
        ({"max_tokens": None}, {}, 400),
        ({"temperature": 1.0}, {}, 400),
        ({"messages": []}, {}, 400),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, {}, 400),
        ({}, {"anthropic-version": ""}, 400),
        ({}, {"x-api-key": "gt-aaaa"}, 401),
    ],
)
def test_anthropic_rejects_what_the_real_one_rejects(
    cloud: Cloud, authority: Path, change: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    """A mistake of the translation is not covered up by a lenient stand-in."""
    body = {"model": "m", "max_tokens": 9, "messages": HELLO_CLAUDE} | change
    sent = {name: value for name, value in body.items() if value is not None}
    all_headers = {"x-api-key": "sk-x", "anthropic-version": "2026-10-21"} | headers

    with httpx2.Client(verify=trusting(authority), trust_env=False) as client:
        answer = client.post(f"{cloud.base_url('anthropic')}/v1/messages", json=sent, headers=all_headers)

    assert answer.status_code == status


# -- Control ---------------------------------------------------------------------------------------------------------


def test_requests_are_kept_byte_for_byte(gpt: openai.OpenAI, cloud: Cloud) -> None:
    """What arrived can be asserted on: headers, and the body as it was sent."""
    gpt.chat.completions.create(model="m", messages=HELLO)
    received = cloud.requests[0]

    assert received.headers["authorization"] == "Bearer sk-x"
    assert json.loads(received.raw) == received.body


def test_behaviours_can_be_scripted_over_http(gpt: openai.OpenAI, cloud: Cloud, authority: Path) -> None:
    """A test in another process can say what happens next; afterwards all is as before."""
    script = {"model": "m", "behaviours": [{"refusal": {"status": 503, "type": "server", "message": "later"}}]}
    with httpx2.Client(verify=trusting(authority), trust_env=False) as client:
        root = cloud.base_url("openai").removesuffix("/v1")
        assert client.put(f"{root}/standin/script", json=script).status_code == 200

    with pytest.raises(openai.InternalServerError, match="later"):
        gpt.chat.completions.create(model="m", messages=HELLO)
    assert gpt.chat.completions.create(model="m", messages=HELLO).choices[0].message.content == TEXT


def test_a_script_holds_for_one_request_each(gpt: openai.OpenAI, cloud: Cloud) -> None:
    """Behaviours are played in their order."""
    cloud.script(Behaviour(text="one"), Behaviour(refusal=Refusal(500, "server", "two")))

    assert gpt.chat.completions.create(model="m", messages=HELLO).choices[0].message.content == "one"
    with pytest.raises(openai.InternalServerError):
        gpt.chat.completions.create(model="m", messages=HELLO)
