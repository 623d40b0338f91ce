"""One task put to the router, and what came back: text, calls of tools, tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from gridtie.bench.target import Route
from gridtie.host.router import Unreachable, send
from gridtie.quality.task import Answer, Call, Task

# A cold load, a queue, and an answer of a large model on a slow machine.
REQUEST_S = 900.0


class NotAnswered(Exception):
    """There is no answer to judge. `final`: asking again helps nothing (the key, the address)."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


@dataclass(frozen=True)
class Reply:
    """A whole answer. Seconds from the request to its end."""

    answer: Answer
    seconds: float
    target: str
    locality: str
    request_id: str


def body_of(task: Task, route: Route, sample: int, temperature: float) -> dict[str, Any]:
    """The request; each sample has a seed of its own."""
    body: dict[str, Any] = {
        "model": route.model,
        "messages": list(task.messages),
        "max_tokens": task.max_tokens,
        "temperature": temperature,
        "seed": sample + 1,
    }
    return {**body, "tools": list(task.tools)} if task.tools else body


def ask(endpoint: str, key: str, route: Route, body: Mapping[str, Any]) -> Reply:
    """Raises `NotAnswered`."""
    headers = {"Authorization": f"Bearer {key}", **dict(route.headers)}
    started = monotonic()
    try:
        found = send("POST", f"{endpoint}/v1/chat/completions", body=body, headers=headers, timeout=REQUEST_S)
    except Unreachable as error:
        raise NotAnswered(str(error), final=True) from None
    seconds = monotonic() - started
    if found.status != 200:
        _, message = found.error()
        raise NotAnswered(f"{found.status}: {message[:300]}", final=found.status in (401, 403))
    content = found.json()
    try:
        message = content["choices"][0]["message"]
        answer = Answer(str(message.get("content") or ""), tuple(map(_call, message.get("tool_calls") or ())))
    except (TypeError, KeyError, IndexError, AttributeError):
        raise NotAnswered("the answer is no chat completion") from None
    return Reply(
        answer=answer,
        seconds=seconds,
        target=found.headers.get("x-gridtie-target", ""),
        locality=found.headers.get("x-gridtie-locality", ""),
        request_id=found.headers.get("x-gridtie-request-id", ""),
    )


def _call(call: Mapping[str, Any]) -> Call:
    function = call["function"]
    try:
        arguments = json.loads(function.get("arguments") or "{}")
    except (ValueError, TypeError):
        arguments = None
    return Call(str(function["name"]), arguments if isinstance(arguments, dict) else None)
