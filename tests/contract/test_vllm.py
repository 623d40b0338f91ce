"""A router in front of a server that speaks as vLLM does; `tests/scale` asks the same of the real one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from standins.behaviour import Behaviour, Refusal
from standins.cloud import Cloud
from standins.router import Answered, Station, chat, routing, run
from standins.vllm_wire import CONTEXT

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def behind(directory: Path, work: Callable[[Station, Cloud], Awaitable[Any]]) -> Any:
    """What `work` finds at a router whose only target is vLLM."""

    async def main() -> Any:
        async with Cloud() as cloud, Station(directory, routing(cloud.base_url("vllm", "127.0.0.1"))) as router:
            return await work(router, cloud)

    return run(main)


def asked(directory: Path, body: dict[str, Any], *behaviours: Behaviour) -> tuple[Answered, Any]:
    async def work(router: Station, cloud: Cloud) -> tuple[Answered, Any]:
        cloud.script(*behaviours)
        answered = await router.ask(body)
        return answered, await router.entry(answered)

    found: tuple[Answered, Any] = behind(directory, work)
    return found


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_counted_as_vllm_counts_it(tmp_path: Path, stream: bool) -> None:
    answered, row = asked(tmp_path, chat(stream=stream))

    text = answered.text if stream else answered.json["choices"][0]["message"]["content"]
    assert text == Behaviour().text
    assert row["input_tokens"] > 0
    assert row["output_tokens"] > 0
    assert not row.get("estimated")


def test_what_a_model_thought_reaches_the_client_by_vllms_name(tmp_path: Path) -> None:
    answered, _ = asked(tmp_path, chat(), Behaviour(reasoning="It is a greeting."))

    assert answered.json["choices"][0]["message"]["reasoning"] == "It is a greeting."


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(tmp_path: Path) -> None:
    answered, _ = asked(tmp_path, chat(), Behaviour(refusal=Refusal(400, "context", "")))

    assert (answered.status, answered.error["code"]) == (400, "context_length_exceeded")
    assert str(CONTEXT) in answered.error["message"]
    assert str(CONTEXT + 1) in answered.error["message"]


def test_an_answer_that_does_not_fit_is_refused_as_too_long(tmp_path: Path) -> None:
    answered, _ = asked(tmp_path, chat(max_tokens=CONTEXT + 1))

    assert (answered.status, answered.error["code"]) == (400, "context_length_exceeded")


def test_tools_without_a_parser_are_what_this_model_cannot_do(tmp_path: Path) -> None:
    answered, _ = asked(tmp_path, chat(tools=[TOOL]))

    assert answered.error["code"] == "capability_missing"


def test_the_router_knows_context_and_load_without_asking_the_model(tmp_path: Path) -> None:
    async def work(router: Station, cloud: Cloud) -> Any:
        state = router.router.state.snapshot(0.0).states["here/small"]
        async with asyncio.timeout(10):
            while state.running is None:
                await asyncio.sleep(0.01)
        return state, cloud.requests

    state, requests = behind(tmp_path, work)

    assert (state.context, state.running, state.queued, state.cache_used) == (CONTEXT, 2, 0, 0.25)
    assert (state.ready, state.loaded, requests) == (True, True, [])
