"""A prompt that does not fit the station's own model is refused with the setting that makes room, and its price."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridtie.providers.target import Target
from gridtie.routing.larger_context import ANSWER, advice
from standins.router import Answered, Station, chat, run
from standins.scripted import Upstream, whole

GIB = 1 << 30
MODEL: dict[str, Any] = {
    "name": "gridtie/coder:7b", "catalogue": "coder:7b", "dialect": "openai", "context": 8192, "purposes": ["code"],
    "predicted_bytes": 5 * GIB, "trained_context": 32768, "larger_contexts": [[16384, 6 * GIB], [32768, 7 * GIB]],
}  # fmt: skip
RULES = """
version: 1
providers: {station: {type: station}}
models:
  coder: {local: auto, purpose: code}
rules:
  - {name: all, use: [local]}
"""


def target(**changes: Any) -> Target:
    fields: dict[str, Any] = {
        "id": "station/gridtie/coder:7b", "provider": "station", "model": "gridtie/coder:7b", "locality": "local",
        "dialect": "ollama", "base_url": "http://engine:11434", "own": True, "context": 8192, "trained_context": 32768,
        "predicted_bytes": 5 * GIB, "larger_contexts": ((16384, 6 * GIB), (32768, 7 * GIB)),
    }  # fmt: skip
    return Target(**{**fields, **changes})


@pytest.mark.parametrize(
    ("prompt", "context", "takes"),
    [(9000, 16384, "6.0"), (16384 - ANSWER, 16384, "6.0"), (16384, 32768, "7.0"), (None, 16384, "6.0")],
)
def test_the_least_context_with_room_for_an_answer_is_named_with_what_it_takes(
    prompt: int | None, context: int, takes: str
) -> None:
    setting = f"gridtie_models: [{{name: coder:7b, context: {context}}}]"
    assert advice(target(), prompt) == f"for more set {setting}, which takes {takes} GiB of memory (now 5.0)"


def test_beyond_its_training_another_model_is_advised() -> None:
    assert advice(target(), 40000) == (
        "coder:7b was trained for 32768 tokens and 40512 are wanted, 512 of them for an answer: "
        "ask a model that has more"
    )
    assert "ask a model that has more" in advice(target(context=32768, larger_contexts=()), None)


@pytest.mark.parametrize("changes", [{"own": False}, {"trained_context": 0, "larger_contexts": ()}], ids=str)
def test_nothing_is_advised_where_nothing_is_known(changes: dict[str, Any]) -> None:
    """A cloud's model, one of another station, and the station of a version that did not say."""
    assert advice(target(**changes), 9000) == ""


def test_a_client_is_told_with_the_refusal(tmp_path: Path) -> None:
    too_long = {
        "code": 400, "type": "exceed_context_size_error", "message": "the request exceeds the available context size",
        "n_prompt_tokens": 9083, "n_ctx": 8192,
    }  # fmt: skip

    async def ask() -> Answered:
        async with Upstream(whole(json.dumps({"error": too_long}).encode(), status="400 Bad Request")) as engine:
            config = tmp_path / "config"
            config.mkdir()
            facts = {"schema": 1, "engine": {"kind": "embedded", "mode": "container"}}
            models = [{**MODEL, "url": engine.url.removesuffix("/v1")}]
            (config / "station.json").write_text(json.dumps({**facts, "models": models}))
            async with Station(tmp_path, RULES) as station:
                return await station.ask(chat())

    answered = run(ask)

    assert (answered.status, answered.error["code"]) == (400, "context_length_exceeded")
    assert "the model's context is 8192 tokens and the prompt has 9083; nothing was cut" in answered.error["message"]
    assert answered.error["message"].endswith(
        "for more set gridtie_models: [{name: coder:7b, context: 16384}], which takes 6.0 GiB of memory (now 5.0)"
    )
