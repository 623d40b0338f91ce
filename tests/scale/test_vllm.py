"""A station's router in front of real vLLM: answers, usage, refusals, context, load, and the memory that it takes."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from gridtie.host.fit.checkpoint import Stored, checkpoint_of
from gridtie.host.fit.vllm import Card, Settings, cache_of, used
from gridtie.host.fit.vllm_parsers import _REASONING, _TOOLS
from gridtie.host.models.checkpoint_files import in_directory
from gridtie.host.models.vllm_model import built_in
from gridtie.providers.vllm import read_load
from scale.conftest import CHECKPOINT, CONTEXT, PARALLEL, Vllm
from standins import vllm_wire
from standins.behaviour import Refusal
from standins.checkpoints import SMOLLM2
from standins.router import Answered, Station, chat, routing, run

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def through(vllm: Vllm, directory: Path, *bodies: dict[str, Any]) -> list[tuple[Answered, Any]]:
    """The answers through a router, each with its row of the ledger."""

    async def work() -> list[tuple[Answered, Any]]:
        async with Station(directory, routing(f"{vllm.url}/v1")) as router:
            found = []
            for body in bodies:
                answered = await router.ask(body)
                found.append((answered, await router.entry(answered)))
            return found

    return run(work, seconds=110)


def test_a_whole_answer_has_vllms_own_counts_in_the_ledger(vllm: Vllm, tmp_path: Path) -> None:
    ((answered, row),) = through(vllm, tmp_path, chat("Say hello.", max_tokens=8, temperature=0))

    usage = answered.json["usage"]
    assert answered.status == 200
    assert answered.json["choices"][0]["message"]["content"]
    assert (row["input_tokens"], row["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (row.get("estimated", False), row["cost_usd"]) == (False, 0)


def test_a_stream_says_the_same_and_is_counted_without_being_asked(vllm: Vllm, tmp_path: Path) -> None:
    asked = chat("Count to five.", max_tokens=12, temperature=0)

    (whole, first), (stream, second) = through(vllm, tmp_path, asked, {**asked, "stream": True})

    assert stream.text == whole.json["choices"][0]["message"]["content"]
    assert stream.events[-1] == "[DONE]"
    assert (second["input_tokens"], second["output_tokens"]) == (first["input_tokens"], first["output_tokens"])
    assert not any("usage" in json.loads(each) for each in stream.events[:-1] if json.loads(each).get("usage"))


def test_a_prefix_that_was_read_before_is_counted_as_cached(vllm: Vllm, tmp_path: Path) -> None:
    """Two blocks of 128 tokens or more are kept from one request to the next."""
    asked = chat("The quick brown fox jumps over the lazy dog. " * 40, max_tokens=1)

    (_, first), (_, again) = through(vllm, tmp_path, asked, asked)

    assert first.get("cached_tokens", 0) == 0
    assert again["cached_tokens"] >= 256
    assert again["input_tokens"] == first["input_tokens"]


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(vllm: Vllm, tmp_path: Path) -> None:
    ((answered, _),) = through(vllm, tmp_path, chat("red green blue " * 1500))

    assert (answered.status, answered.error["code"]) == (400, "context_length_exceeded")
    numbers = [int(each) for each in re.findall(r"\d{3,}", answered.error["message"])]
    # It stops counting one token beyond.
    assert {CONTEXT, CONTEXT + 1} <= set(numbers)


def test_an_answer_that_does_not_fit_is_refused_as_well(vllm: Vllm, tmp_path: Path) -> None:
    ((answered, _),) = through(vllm, tmp_path, chat("hi", max_tokens=CONTEXT + 1))

    assert (answered.status, answered.error["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize(
    "choice", ["auto", {"type": "function", "function": {"name": "weather"}}], ids=["auto", "named"]
)
def test_tools_without_a_parser_are_what_the_model_cannot_do(vllm: Vllm, tmp_path: Path, choice: Any) -> None:
    """SmolLM2's template knows no tools, so that no parser was started; another target might."""
    ((answered, _),) = through(
        vllm, tmp_path, chat("Weather in Kiel?", tools=[TOOL], tool_choice=choice, max_tokens=16)
    )

    assert answered.error["code"] == "capability_missing"


def test_an_answer_is_held_to_the_schema_that_was_asked_for(vllm: Vllm, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"city": {"enum": ["Kiel", "Bonn"]}}, "required": ["city"]}
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}

    ((answered, _),) = through(vllm, tmp_path, chat("Name a city.", response_format=form, max_tokens=32, temperature=0))

    assert json.loads(answered.json["choices"][0]["message"]["content"])["city"] in ("Kiel", "Bonn")


def test_a_model_that_is_not_served_makes_no_ready_target(vllm: Vllm, tmp_path: Path) -> None:
    async def work() -> Any:
        file = routing(f"{vllm.url}/v1").replace("here/small", "here/other")
        async with Station(tmp_path, file) as router:
            await until(lambda: not state(router, "here/other").ready)
            return state(router, "here/other").last_error

    assert run(work) == "it does not serve other; it has: small"


def test_the_router_knows_its_context_and_its_load(vllm: Vllm, tmp_path: Path) -> None:
    async def work() -> tuple[int | None, int, float, str]:
        async with Station(tmp_path, routing(f"{vllm.url}/v1")) as router:
            asking = [
                asyncio.create_task(router.ask(chat(f"Tell a long story of {n}.", max_tokens=400))) for n in range(8)
            ]
            await until(lambda: state(router, "here/small").queued > 0, 60)
            seen = state(router, "here/small")
            found = (seen.context, seen.running or 0, seen.cache_used or 0.0)
            metrics = (await router.ask(path="/metrics")).body.decode()
            for each in asking:
                each.cancel()
            return *found, metrics

    context, running, cache, metrics = run(work, seconds=110)

    assert context == CONTEXT
    assert running == PARALLEL
    assert 0 < cache < 1
    assert 'gridtie_target_queued{target="here/small"}' in metrics


def test_its_cache_holds_the_tokens_that_were_predicted(vllm: Vllm) -> None:
    """vLLM's own report at its start is the check of the sum."""
    (reported,) = {int(each.replace(",", "")) for each in re.findall(r"KV cache size: ([\d,]+) tokens", vllm.said)}
    cache = cache_of(built_in(), Settings(on_processor=True))

    blocks = cache.holds(vllm.arranged.cache_gib << 30)
    assert reported == blocks * Settings(on_processor=True).block


# One request's blocks by vLLM's own arithmetic, for layers of each kind that the table of architectures has.
SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("dense", {}),
    ("gpt-oss", {"architectures": ["GptOssForCausalLM"], "sliding_window": 128}),
    ("gemma3 of 62 layers", {"architectures": ["Gemma3ForCausalLM"], "sliding_window": 1024, "num_hidden_layers": 62}),
    ("all slide", {"architectures": ["MistralForCausalLM"], "sliding_window": 4096, "max_position_embeddings": 32768}),
    ("olmo3", {"architectures": ["Olmo3ForCausalLM"], "sliding_window": 4096, "max_position_embeddings": 65536}),
    (
        "nearly as many slide",
        {
            "architectures": ["Gemma3ForCausalLM"],
            "sliding_window": 512,
            "layer_types": ["sliding_attention"] * 17 + ["full_attention"] * 13,
        },
    ),
    ("latent", {"architectures": ["DeepseekV3ForCausalLM"], "kv_lora_rank": 512, "qk_rope_head_dim": 64}),
]


def test_the_cache_is_laid_as_vllm_lays_it(python: Path) -> None:
    wanted, cases = [], []
    for _, change in SHAPES:
        model = checkpoint_of("m", {**SMOLLM2, **change}, Stored(1))
        for context, batched in ((1000, 2048), (8192, 2048), (model.context_length, 512)):
            settings = Settings(context, batched=batched)
            cache = cache_of(model, settings)
            wanted.append([cache.blocks(context, settings), cache.page * cache.layers])
            layers = [[kept.kv_heads, kept.key_length, kept.window, kept.latent] for kept in model.layers]
            cases.append({"layers": layers, "context": context, "batched": batched, "block": settings.block})
    program = [python, Path(__file__).with_name("kv_cache_oracle.py")]

    ran = subprocess.run(program, input=json.dumps(cases), capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr[-3000:]
    assert json.loads(ran.stdout.splitlines()[-1]) == wanted


def test_the_checkpoint_is_what_fit_says_of_it(vllm: Vllm) -> None:
    found = in_directory(CHECKPOINT)

    assert found.weights == built_in().weights
    assert found.layers == built_in().layers
    assert (found.context_length, found.tools) == (8192, "")


def test_the_process_takes_no_more_than_was_predicted(vllm: Vllm) -> None:
    use = used(built_in(), [Card("memory", 8 << 30, 8 << 30)], Settings(CONTEXT, sequences=PARALLEL, on_processor=True))
    predicted = use.weights + use.compute + use.beside + (vllm.arranged.cache_gib << 30)

    assert 0.75 * predicted < vllm.resident() < predicted


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        (chat("red green blue " * 1500), Refusal(400, "context", "")),
        (
            chat("hi", max_tokens=3000),
            Refusal(
                400,
                "output",
                "max_tokens=3000 cannot be greater than max_model_len=2048. Please request fewer output tokens. "
                "(parameter=max_tokens, value=3000)",
            ),
        ),
        (chat("hi", tools=[TOOL]), Refusal(400, "invalid", vllm_wire.NO_PARSER)),
    ],
    ids=["prompt", "answer", "tools"],
)
def test_the_stand_in_refuses_in_vllms_own_words(vllm: Vllm, body: dict[str, Any], refusal: Refusal) -> None:
    answered = httpx.post(f"{vllm.url}/v1/chat/completions", json={**body, "model": "small"}, timeout=60)

    assert (answered.status_code, answered.json()) == (refusal.status, json.loads(vllm_wire.error(refusal)))


def test_it_tells_the_tokens_of_a_prompt_by_which_a_server_is_chosen(vllm: Vllm) -> None:
    """vllm-router asks for them, and knows nothing of beginnings where it gets none."""
    body = {**chat("The quick brown fox."), "model": "small", "max_tokens": 1}
    rendered = httpx.post(f"{vllm.url}/v1/chat/completions/render", json=body, timeout=60)
    answered = httpx.post(f"{vllm.url}/v1/chat/completions", json=body, timeout=60).json()

    assert rendered.status_code == 200, rendered.text
    assert len(rendered.json()["token_ids"]) == answered["usage"]["prompt_tokens"]
    assert json.loads(vllm_wire.rendered(json.dumps(body).encode())).keys() <= rendered.json().keys()


def test_the_stand_in_says_of_itself_what_vllm_says(vllm: Vllm) -> None:
    listed = httpx.get(f"{vllm.url}/v1/models").json()["data"][0]
    metrics = httpx.get(f"{vllm.url}/metrics").content
    standin = json.loads(vllm_wire.get("/v1/models"))["data"][0]

    assert listed.keys() == standin.keys()
    assert (listed["owned_by"], listed["max_model_len"]) == (standin["owned_by"], standin["max_model_len"])
    assert read_load(metrics) is not None
    assert read_load(vllm_wire.get("/metrics")) is not None


def test_the_parsers_that_templates_ask_for_are_vllms(python: Path) -> None:
    program = (
        "import json; from vllm.tool_parsers import ToolParserManager as T; "
        "from vllm.reasoning import ReasoningParserManager as R; "
        "print(json.dumps([sorted(T.list_registered()), sorted(R.list_registered())]))"
    )
    ran = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    tools, reasoning = json.loads(ran.stdout.splitlines()[-1])

    assert {name for _, name in _TOOLS} <= set(tools)
    assert {name for _, name in _REASONING} <= set(reasoning)


def state(router: Station, target: str) -> Any:
    return router.router.state.snapshot(0.0).states[target]


async def until(true: Any, seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.05)
