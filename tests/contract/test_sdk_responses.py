"""The official openai SDK's responses against a real router process, in front of clouds of two other dialects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pydantic
import pytest

from standins.behaviour import BY_MODEL, Behaviour
from standins.cloud import Cloud
from standins.fixtures import RouterProcess, routing_file, strict_openai

TEXT = Behaviour().text
ADD: Any = {
    "type": "function", "name": "add", "description": "adds", "strict": False,
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
}  # fmt: skip
SECRETS = {"here": "sk-here", "openai": "sk-openai", "anthropic": "sk-ant-x"}
CLOUDS = pytest.mark.parametrize("model", ["gpt", "claude"])


@pytest.fixture(scope="module")
def router(shared_cloud: Cloud, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    aliases: dict[str, dict[str, Any]] = {}
    for fault in ("", *(name.removeprefix("standin") for name in BY_MODEL)):
        for name, provider, model in (("gpt", "openai", "gpt-5.4-mini"), ("claude", "anthropic", "claude-haiku-5-5")):
            cloud = {"provider": provider, "model": f"standin{fault}" if fault else model}
            aliases[f"{name}{fault}"] = {"local": None, "cloud": cloud}
    text = routing_file(shared_cloud, authority, aliases, defaults={"alias": "gpt"})
    process = RouterProcess(tmp_path_factory.mktemp("router"), text, SECRETS)
    yield process
    assert process.stop() == 0


@pytest.fixture
def client(router: RouterProcess, cloud: Cloud) -> Iterator[openai.OpenAI]:
    with strict_openai(router, timeout=30) as made:
        yield made


@CLOUDS
def test_whole(client: openai.OpenAI, model: str) -> None:
    answer = client.responses.create(model=model, input="Say hello.", instructions="Be kind.")

    assert (answer.output_text, answer.status) == (TEXT, "completed")
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


@CLOUDS
@pytest.mark.parametrize("fault", ["", "-reasoning"])
def test_stream(client: openai.OpenAI, model: str, fault: str) -> None:
    """The SDK's own accumulation is the answer; events are numbered in their order."""
    with client.responses.stream(model=f"{model}{fault}", input="Say hello.") as stream:
        numbers = [event.sequence_number for event in stream if hasattr(event, "sequence_number")]
        final = stream.get_final_response()

    assert final.output_text == TEXT
    assert numbers == sorted(set(numbers))
    assert [item.type for item in final.output] == (["reasoning"] if fault else []) + ["message"]


@CLOUDS
@pytest.mark.parametrize("streamed", [False, True])
def test_tools(client: openai.OpenAI, cloud: Cloud, model: str, streamed: bool) -> None:
    """Two calls come down, and their results go up again with them."""
    asked: Any = {"model": f"{model}-tools", "input": "go", "tools": [ADD]}
    if streamed:
        with client.responses.stream(**asked) as stream:
            answer: Any = stream.get_final_response()
    else:
        answer = client.responses.create(**asked)
    calls = [item for item in answer.output if item.type == "function_call"]
    results: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "5"} for call in calls]
    sent: Any = [{"role": "user", "content": "go"}, *(call.to_dict() for call in calls), *results]

    again = client.responses.create(model=model, input=sent, tools=[ADD])

    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("add", {"a": 2, "b": 3}), ("now", {})]
    assert again.output_text == TEXT


class Verdict(pydantic.BaseModel):
    approved: bool
    reasons: list[str]


@CLOUDS
def test_structured_output(client: openai.OpenAI, model: str) -> None:
    answer = client.responses.parse(model=model, input="go", text_format=Verdict)

    assert answer.output_parsed == Verdict(approved=True, reasons=["text"])


def test_a_request_as_codex_sends_it(router: RouterProcess, cloud: Cloud) -> None:
    """Developer items, tools in a namespace, a search that nobody runs, encrypted reasoning: all of it works."""
    body = {
        "model": "gpt", "stream": True, "store": False, "prompt_cache_key": "k", "client_metadata": {"a": "b"},
        "include": ["reasoning.encrypted_content"], "parallel_tool_calls": True, "tool_choice": "auto",
        "reasoning": {"effort": "medium", "summary": "auto"},
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "You are an agent."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "xxxx"},
            {"type": "function_call", "namespace": "crew", "name": "spawn", "arguments": "{}", "call_id": "c"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
        ],
        "tools": [ADD, {"type": "namespace", "name": "crew", "description": "d", "tools": [ADD | {"name": "spawn"}]},
                  {"type": "web_search"}],
    }  # fmt: skip

    answer = httpx2.post(
        f"{router.url}/v1/responses", json=body, headers={"authorization": f"Bearer {router.key}"}, trust_env=False
    )
    sent = cloud.requests[0].body

    assert answer.status_code == 200, answer.text
    assert "event: response.completed" in answer.text
    assert [message["role"] for message in sent["messages"]] == ["system", "user", "assistant", "tool"]
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["add", "crew-_-spawn"]
    assert sent["messages"][2]["tool_calls"][0]["function"]["name"] == "crew-_-spawn"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"previous_response_id": "resp_1"}, "keeps no answers"),
        ({"background": True}, "background"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0]"),
        ({"odd": 1}, "odd"),
    ],
)
def test_what_cannot_be_done_is_explained(
    router: RouterProcess, cloud: Cloud, fields: dict[str, object], says: str
) -> None:
    """The field, in a sentence; nothing is asked."""
    body = {"model": "gpt", "input": "go"} | fields
    headers = {"authorization": f"Bearer {router.key}"}
    answer = httpx2.post(f"{router.url}/v1/responses", json=body, headers=headers, trust_env=False)

    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert cloud.requests == []


@pytest.fixture(scope="module")
def keeping(shared_cloud: Cloud, authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    """A router that keeps answers."""
    cloud = {"provider": "openai", "model": "gpt-5.4-mini"}
    more = {"defaults": {"alias": "gpt"}, "responses": {"keep": True}}
    text = routing_file(shared_cloud, authority, {"gpt": {"local": None, "cloud": cloud}}, **more)
    process = RouterProcess(tmp_path_factory.mktemp("keeping"), text, SECRETS)
    yield process
    assert process.stop() == 0


def test_a_conversation_goes_on_by_the_id_of_an_answer(keeping: RouterProcess, cloud: Cloud) -> None:
    """As the SDK documents it: the next turn alone, streamed or not."""
    with strict_openai(keeping, timeout=30) as client:
        first = client.responses.create(model="gpt", input="one")
        with client.responses.stream(model="gpt", input="two", previous_response_id=first.id) as stream:
            second = stream.get_final_response()
        unkept = client.responses.create(model="gpt", input="three", previous_response_id=second.id, store=False)
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="gpt", input="four", previous_response_id=unkept.id)

    assert (second.previous_response_id, unkept.previous_response_id) == (first.id, second.id)
    said = [(message["role"], message["content"]) for message in cloud.requests[-1].body["messages"]]
    assert said == [("user", "one"), ("assistant", TEXT), ("user", "two"), ("assistant", TEXT), ("user", "three")]
    assert caught.value.code == "previous_response_not_found"


def test_an_answer_is_retrieved_listed_and_deleted_by_the_sdk(keeping: RouterProcess, cloud: Cloud) -> None:
    """Its validation takes all of it; the pages that it turns come to an end."""
    with strict_openai(keeping, timeout=30) as client:
        first = client.responses.create(model="gpt", input="one")
        second = client.responses.create(model="gpt", input="two", previous_response_id=first.id)
        again = client.responses.retrieve(second.id)
        items: Any = list(client.responses.input_items.list(second.id, limit=1))
        client.responses.delete(second.id)
        with pytest.raises(openai.NotFoundError) as caught:
            client.responses.retrieve(second.id)

    assert again == second
    assert [(item.role, item.content[0].text) for item in items] == [
        ("user", "two"),
        ("assistant", TEXT),
        ("user", "one"),
    ]
    assert caught.value.code == "response_not_found"


@CLOUDS
@pytest.mark.parametrize("fault", ["cut", "error-in-stream"])
def test_an_answer_that_breaks_off_is_never_whole(client: openai.OpenAI, model: str, fault: str) -> None:
    with (
        pytest.raises((openai.APIError, RuntimeError)),
        client.responses.stream(model=f"{model}-{fault}", input="go") as stream,
    ):
        stream.get_final_response()
