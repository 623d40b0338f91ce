"""`gridtie quality` in front of a real router, and behind it a stand-in that knows the answers."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gridtie.quality import session
from gridtie.quality.__main__ import parser_of
from gridtie.quality.command import run as run_command
from gridtie.quality.task import Answer, Task
from gridtie.quality.tasks import TASKS
from standins.bench import RULES, place
from standins.router import Station
from standins.router import run as run_loop
from standins.scripted import Behaviour, Turn, Upstream, whole
from standins.trusted import trusted_run

BY_QUESTION = {task.messages[-1]["content"]: task for task in TASKS.values() if not task.name.startswith("tools")}
BY_QUESTION |= {json.dumps(task.messages): task for task in TASKS.values()}


def asked(turn: Turn) -> Task:
    messages = turn.json["messages"]
    return BY_QUESTION.get(json.dumps(messages)) or BY_QUESTION[messages[-1]["content"]]


def model(knows: Callable[[Task], bool] = lambda _: True) -> Behaviour:
    """A model that gives the right answer to what it knows, and a wrong one to the rest."""

    async def play(turn: Turn) -> None:
        task = asked(turn)
        await whole(completion((task.right if knows(task) else task.wrong)[0]))(turn)

    return play


def completion(answer: Answer) -> bytes:
    calls = [
        {
            "id": f"call_{at}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for at, call in enumerate(answer.calls)
    ]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text or None,
        **({"tool_calls": calls} if calls else {}),
    }
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}
    return json.dumps(
        {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    ).encode()


@dataclass
class Tried:
    status: int
    out: str
    err: str
    rows: list[Any]
    asked: int


Command = Callable[..., Tried]


class _Box:
    run = staticmethod(trusted_run)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `gridtie quality WORDS`; what a stand-in wrote is the project's own and needs no sandbox."""
    monkeypatch.setattr(session.sandbox, "find", lambda *_, **__: _Box)

    def call(
        *words: str,
        local: Behaviour | tuple[Behaviour, ...] = model(),  # noqa: B008
        cloud: Behaviour = model(),  # noqa: B008
        run: Callable[[Namespace], int] = run_command,
    ) -> Tried:
        parser = parser_of()

        async def work() -> Tried:
            answers = local if isinstance(local, tuple) else (local,)
            async with AsyncExitStack() as stack:
                here = await stack.enter_async_context(Upstream(*answers))
                there = await stack.enter_async_context(Upstream(cloud))
                rules = RULES.format(local=here.url, cloud=there.url)
                station = await stack.enter_async_context(Station(tmp_path, rules))
                place(station)
                monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(station.config))
                status = await asyncio.to_thread(run, parser.parse_args(words))
                rows = await station.rows(0)
                return Tried(status, *capfd.readouterr(), rows, len(here.turns) + len(there.turns))

        return run_loop(work, 60.0)

    return call
