"""The official anthropic SDK against a real router process, in front of clouds of its own dialect and of OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import MessageParam, ToolParam

from standins.behaviour import BY_MODEL, HUGE, Behaviour
from standins.cloud import Cloud
from standins.fixtures import RouterProcess, routing_file

TEXT = Behaviour().text
HELLO: list[MessageParam] = [{"role": "user", "content": "Say hello."}]
ADD: ToolParam = {
    "name": "add",
    "description": "adds",
    "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
}
SECRETS = {"here": "sk-here", "openai": "sk-openai", "anthropic": "sk-ant-x"}
# What Claude Code sends beside a conversation, in its structure.
CLAUDE_CODE: dict[str, Any] = {
    "thinking": {"type": "adaptive"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "medium"},
    "metadata": {"user_id": "xxxx"},
}


def aliases() -> dict[str, dict[str, Any]]:
    """`gpt` and `claude` are clouds, and each fault of the stand-in has an alias at either."""
    made: dict[str, dict[str, Any]] = {
        "gpt": {"local": None, "cloud": {"provider": "openai", "model": "gpt-5.4-mini"}},
        "claude": {"local": None, "cloud": {"provider": "anthropic", "model": "claude-haiku-5-5"}},
        "local": {"local": "here/small"},
    }
    for name in BY_MODEL:
        fault = name.removeprefix("standin-")
        made[f"gpt-{fault}"] = {"local": None, "cloud": {"provider": "openai", "model": name}}
        made[f"claude-{fault}"] = {"local": None, "cloud": {"provider": "anthropic", "model": name}}
    return made


@pytest.fixture(scope="module")
def router(shared_cloud: Cloud, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    timeouts = {"connect": 2, "first_token": 1.5, "first_token_cold": 1.5, "between_tokens": 2, "total": 30}
    text = routing_file(shared_cloud, authority, aliases(), timeouts=timeouts, defaults={"alias": "gpt"})
    process = RouterProcess(tmp_path_factory.mktemp("router"), text, SECRETS)
    yield process
    assert process.stop() == 0


@pytest.fixture
def client(router: RouterProcess, cloud: Cloud) -> Iterator[anthropic.Anthropic]:
    """No second try, and an answer that is not of the documented form is an error."""
    http = anthropic.DefaultHttpxClient(trust_env=False)
    with anthropic.Anthropic(
        base_url=router.url, api_key=router.key, max_retries=0, http_client=http, timeout=30,
        _strict_response_validation=True,
    ) as made:  # fmt: skip
        yield made


def record(router: RouterProcess, request_id: str) -> dict[str, Any]:
    """The ledger's row of a request."""
    answer = httpx2.get(
        f"{router.url}/gridtie/requests/{request_id}", headers={"x-api-key": router.key}, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    row: dict[str, Any] = answer.json()
    return row


CLOUDS = pytest.mark.parametrize("model", ["gpt", "claude"])


@CLOUDS
def test_whole(router: RouterProcess, client: anthropic.Anthropic, model: str) -> None:
    """An unstreamed answer, with usage; in the ledger under Anthropic's name."""
    raw = client.messages.with_raw_response.create(model=model, max_tokens=100, messages=HELLO)
    message = raw.parse()
    row = record(router, raw.headers["x-gridtie-request-id"])

    assert [block.type for block in message.content] == ["text"]
    assert message.content[0].type == "text"
    assert (message.content[0].text, message.stop_reason) == (TEXT, "end_turn")
    assert (row["input_tokens"], row["output_tokens"]) == (message.usage.input_tokens, message.usage.output_tokens)
    assert row["surface"] == "anthropic"


@CLOUDS
def test_stream(client: anthropic.Anthropic, cloud: Cloud, model: str) -> None:
    """The SDK's own accumulation of the events is the answer, with its usage."""
    with client.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert text == TEXT
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0
    assert cloud.requests[0].body["stream"] is True


@CLOUDS
@pytest.mark.parametrize("streamed", [False, True])
def test_tools(client: anthropic.Anthropic, model: str, streamed: bool) -> None:
    """Two calls in one answer come down, and their results go up again in the upstream's own form."""
    asked: Any = {"model": f"{model}-tools", "max_tokens": 100, "messages": HELLO, "tools": [ADD]}
    if streamed:
        with client.messages.stream(**asked) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(**asked)
    calls = [block for block in message.content if block.type == "tool_use"]
    results: Any = [
        {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "5"}]} for call in calls
    ]

    again = client.messages.create(
        model=model, max_tokens=100, tools=[ADD],
        messages=[*HELLO, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}],
    )  # fmt: skip

    assert [(call.name, call.input) for call in calls] == [("add", {"a": 2, "b": 3}), ("now", {})]
    assert message.stop_reason == "tool_use"
    assert again.content[0].type == "text"


@CLOUDS
def test_a_request_as_claude_code_sends_it(router: RouterProcess, cloud: Cloud, model: str) -> None:
    """System blocks with marks, a system message among the others, a deferred tool, betas, thinking: all work."""
    body = CLAUDE_CODE | {
        "model": model, "max_tokens": 32000, "stream": True,
        "system": [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": "A reminder."},
            {"role": "user", "content": "go on"},
        ],
        "tools": [ADD, ADD | {"name": "later", "defer_loading": True}],
    }  # fmt: skip
    headers = {
        "x-api-key": router.key, "anthropic-version": "2026-10-21", "anthropic-beta": "a-2026-01-01,b-2026-02-02",
        "content-type": "application/json",
    }  # fmt: skip

    answer = httpx2.post(
        f"{router.url}/v1/messages?beta=true", content=json.dumps(body), headers=headers, trust_env=False
    )
    sent = cloud.requests[0]

    assert answer.status_code == 200, answer.text
    assert "event: message_stop" in answer.text
    if model == "claude":
        assert sent.path == "/v1/messages?beta=true"
        assert (sent.headers["anthropic-beta"], sent.headers["x-api-key"]) == ("a-2026-01-01,b-2026-02-02", "sk-ant-x")
        assert sent.body == body | {"model": "claude-haiku-5-5"}
    else:
        assert [message["role"] for message in sent.body["messages"]] == ["system", "user", "system", "user"]
        assert [tool["function"]["name"] for tool in sent.body["tools"]] == ["add", "later"]
        assert "anthropic-beta" not in sent.headers


def test_messages_reach_anthropic_byte_for_byte(router: RouterProcess, cloud: Cloud) -> None:
    """Not one byte of the prompt is written anew: a prefix that is in its cache is found there."""
    messages = b'[ {"role":"user" , "content":"caf\\u00e9 \xc3\xa9", "x":1.50} ]'
    headers = {"authorization": f"Bearer {router.key}", "content-type": "application/json"}

    answer = httpx2.post(
        f"{router.url}/v1/messages", content=b'{"model":"claude","max_tokens":9,"messages":' + messages + b"}",
        headers=headers, trust_env=False,
    )  # fmt: skip

    assert answer.status_code == 200
    assert cloud.requests[0].raw == b'{"model":"claude-haiku-5-5","max_tokens":9,"messages":' + messages + b"}"


@CLOUDS
def test_reasoning(client: anthropic.Anthropic, model: str) -> None:
    """Reasoning arrives as a block of its own, before the text."""
    with client.messages.stream(model=f"{model}-reasoning", max_tokens=100, messages=HELLO) as stream:
        message = stream.get_final_message()

    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].type == "thinking"
    assert message.content[0].thinking == "The user greets."


@CLOUDS
def test_a_huge_answer_arrives_whole(client: anthropic.Anthropic, model: str) -> None:
    """Five thousand events, none lost."""
    with client.messages.stream(model=f"{model}-huge", max_tokens=9000, messages=HELLO) as stream:
        assert "".join(stream.text_stream) == HUGE


@CLOUDS
def test_cached_tokens_are_told_and_metered(router: RouterProcess, client: anthropic.Anthropic, model: str) -> None:
    """What was read from a cache stands beside the other input tokens, as Anthropic counts."""
    raw = client.messages.with_raw_response.create(
        model=f"{model}-cached", max_tokens=100, messages=HELLO, system="word " * 50
    )
    usage = raw.parse().usage
    row = record(router, raw.headers["x-gridtie-request-id"])

    assert usage.cache_read_input_tokens == 16
    assert row["cached_tokens"] == 16
    assert row["input_tokens"] == usage.input_tokens + 16


def test_an_image_reaches_a_cloud_of_another_dialect(client: anthropic.Anthropic, cloud: Cloud) -> None:
    """With its data and its type."""
    client.messages.create(
        model="gpt", max_tokens=100,
        messages=[{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
            {"type": "text", "text": "what?"},
        ]}],
    )  # fmt: skip

    assert b"data:image/png;base64,iVBORw0KGgo=" in cloud.requests[0].raw


def test_tokens_are_counted_without_asking_a_model(client: anthropic.Anthropic, cloud: Cloud) -> None:
    """The estimate that rules go by; nothing leaves for it."""
    short = client.messages.count_tokens(model="claude", messages=HELLO)
    long = client.messages.count_tokens(model="claude", messages=HELLO, system="word " * 1000)

    assert 0 < short.input_tokens < 50
    assert 1000 < long.input_tokens < 1500
    assert cloud.requests == []


@pytest.mark.parametrize("headers", [{"x-api-key": "KEY"}, {"authorization": "Bearer KEY"}])
def test_either_header_carries_the_key(router: RouterProcess, cloud: Cloud, headers: dict[str, str]) -> None:
    """`ANTHROPIC_API_KEY` arrives as x-api-key, `ANTHROPIC_AUTH_TOKEN` as Bearer."""
    sent = {name: value.replace("KEY", router.key) for name, value in headers.items()}
    body = {"model": "gpt", "max_tokens": 5, "messages": HELLO}

    assert httpx2.post(f"{router.url}/v1/messages", json=body, headers=sent, trust_env=False).status_code == 200


def test_one_model_is_told_as_anthropic_tells_it(client: anthropic.Anthropic) -> None:
    """With a time that its SDK can parse; and one that is not there is an error of its own kind."""
    assert client.models.retrieve("claude").type == "model"
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.models.retrieve("nobody")

    assert missing.value.body["type"] == "error"  # type: ignore[index, call-overload]


def test_the_models_are_listed_as_anthropic_lists_them(client: anthropic.Anthropic) -> None:
    """Claude Code asks a gateway for them."""
    names = [model.id for model in client.models.list(limit=1000)]

    assert {"gpt", "claude", "local"} <= set(names)


def test_somebody_is_there(router: RouterProcess) -> None:
    """Claude Code asks `HEAD /` first, without a key."""
    assert httpx2.head(f"{router.url}/", trust_env=False).status_code == 200


# -- Errors ------------------------------------------------------------------------------------------------------------


def test_a_wrong_key_is_told_at_once(router: RouterProcess, client: anthropic.Anthropic) -> None:
    """In Anthropic's shape, and with the word that stops Claude Code from trying for minutes."""
    with pytest.raises(anthropic.AuthenticationError, match="not known") as raised:
        client.with_options(api_key="gt-" + "z" * 43).messages.create(model="gpt", max_tokens=5, messages=HELLO)

    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.response.json()["error"]["type"] == "authentication_error"


def test_an_unknown_model(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="no-such-model"):
        client.messages.create(model="no-such-model", max_tokens=5, messages=HELLO)


@CLOUDS
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("context", anthropic.BadRequestError),
        ("invalid", anthropic.BadRequestError),
        ("busy", anthropic.RateLimitError),
        ("broken", anthropic.InternalServerError),
        ("junk", anthropic.InternalServerError),
        ("unauthorized", anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(
    client: anthropic.Anthropic, model: str, fault: str, error: type[anthropic.APIStatusError], stream: bool
) -> None:
    """Whatever happens upstream, streamed or not, it is an exception of the SDK's own with Anthropic's envelope."""
    with pytest.raises(error) as raised:
        client.messages.create(model=f"{model}-{fault}", max_tokens=5, messages=HELLO, stream=stream)

    told = raised.value.response.json()
    assert told["type"] == "error"
    assert told["error"]["message"]
    if fault == "context":
        assert told["error"]["message"].startswith("prompt is too long")


@CLOUDS
@pytest.mark.parametrize("fault", ["cut", "error-in-stream", "unended"])
def test_an_answer_that_breaks_off_is_never_whole(client: anthropic.Anthropic, model: str, fault: str) -> None:
    """After the first content the client gets an error event, and no end."""
    with (
        pytest.raises(anthropic.APIError),
        client.messages.stream(model=f"{model}-{fault}", max_tokens=100, messages=HELLO) as stream,
    ):
        stream.get_final_message()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "no JSON"),
        (b"[]", "a list"),
        (b'{"model": 5}', "model"),
        (b'{"model": "gpt", "max_tokens": "x"}', "max_tokens"),
        (b'{"model": "gpt", "max_tokens": 5, "messages": "x"}', "messages"),
        (b'{"model": "gpt", "max_tokens": 5, "messages": [{"role": "user", "content": 5}]}', "content"),
        (b'{"model": "claude", "max_tokens": 5, "n": 2, "messages": []}', "n: found 2, wanted 1: "),
        (b'{"model": "gpt", "max_tokens": 5, "gridtie_tags": "x", "messages": []}', "header"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_wrong_body_is_explained_in_anthropics_shape(
    router: RouterProcess, cloud: Cloud, body: bytes, says: str, path: str
) -> None:
    """A sentence that names the field, status 400, and the word not to try again."""
    answer = httpx2.post(f"{router.url}{path}", content=body, headers={"x-api-key": router.key}, trust_env=False)

    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.headers["x-should-retry"] == "false"
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"odd": 1}, "odd"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
    ],
)
def test_what_another_dialect_cannot_say_is_explained(
    router: RouterProcess, cloud: Cloud, fields: dict[str, object], says: str
) -> None:
    """Where no target can take it, the client reads which field it is."""
    body = {"model": "gpt", "max_tokens": 5, "messages": HELLO} | fields
    answer = httpx2.post(f"{router.url}/v1/messages", json=body, headers={"x-api-key": router.key}, trust_env=False)

    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert cloud.requests == []
