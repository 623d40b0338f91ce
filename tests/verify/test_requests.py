"""The station as an application uses it."""

from __future__ import annotations

import json
from typing import Any

import httpx

CHAT = {
    "model": "probe",
    "messages": [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}],
    "max_tokens": 16,
    "temperature": 0,
}


def chat(router: httpx.Client, *, headers: dict[str, str] | None = None, **more: Any) -> httpx.Response:
    return router.post("/v1/chat/completions", json={**CHAT, **more}, headers=headers)


def test_a_chat_is_answered_by_the_local_model(router: httpx.Client) -> None:
    answer = chat(router)
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]
    assert answer.headers["x-gridtie-locality"] == "local"


def test_a_stream_comes_in_pieces_and_ends(router: httpx.Client) -> None:
    body = {**CHAT, "stream": True}
    with router.stream("POST", "/v1/chat/completions", json=body) as answer:
        data = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    pieces = [
        json.loads(line)["choices"][0]["delta"].get("content") for line in data[:-1] if json.loads(line)["choices"]
    ]
    assert data[-1] == "[DONE]"
    assert len([piece for piece in pieces if piece]) > 3
    assert "Paris" in "".join(piece or "" for piece in pieces)


def test_private_traffic_stays_here_even_where_production_prefers_a_cloud(router: httpx.Client) -> None:
    """Answered here or refused: nothing else."""
    answer = chat(router, headers={"x-gridtie-environment": "production", "x-gridtie-tags": "private"})
    assert answer.headers.get("x-gridtie-locality", "refused") in ("local", "refused")
    assert answer.status_code == 200 or answer.json()["error"]["source"] == "gridtie"


def test_every_answer_is_metered(router: httpx.Client) -> None:
    answer = chat(router)
    row = router.get(f"/gridtie/requests/{answer.headers['x-gridtie-request-id']}").json()
    usage = answer.json()["usage"]
    assert (row["input_tokens"], row["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])


def test_without_the_key_nothing_is_answered(router: httpx.Client) -> None:
    assert chat(router, headers={"authorization": "Bearer gt-" + "A" * 43}).status_code == 401


def test_a_prompt_beyond_the_context_is_refused_or_answered_elsewhere_but_never_cut(
    router: httpx.Client, machine: Any
) -> None:
    probe = next(model for model in machine.station["models"] if {"smoke-test", "probe"} & {*model["purposes"]})
    # One token a word at the least.
    messages = [{"role": "user", "content": "word " * (probe["context"] + 100)}]
    answer = chat(router, headers={"x-gridtie-tags": "private"}, messages=messages)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
