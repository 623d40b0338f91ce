"""A cloud that can build the demo's tasks, since it has their solutions, behind a router of its own.

    python -m standins.demo_cloud DIRECTORY

prints one JSON line (`url`, `key`, `config`) and runs until its standard input ends. Every fourth first try of the
coder is wrong, so that retries have a price.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gridtie.agents import planner, reviewer, tester
from gridtie.agents.schema import SchemaMismatch, parse
from gridtie.agents.task import Task
from gridtie.agents.tasks import TASKS
from standins.behaviour import Behaviour
from standins.cloud import Cloud
from standins.judge import Request
from standins.router import KEY, Station

RULES = """
version: 1
providers:
  here: {{type: openai, base_url: '{local}', locality: local, key_file: secrets/standin}}
  openai: {{type: openai, base_url: '{cloud}', key_file: secrets/standin}}
models:
  coder: {{local: here/small, cloud: {{provider: openai, model: gpt-5.4-mini}}}}
rules:
  - {{name: private, when: {{tags: [private]}}, use: [local], never: cloud}}
  - {{name: dev, when: {{environment: [dev, test, ci]}}, use: [local, cloud]}}
  - {{name: production, when: {{environment: [production]}}, use: [cloud]}}
"""


ALONE = """
version: 1
providers:
  openai: {{type: openai, base_url: '{cloud}', key_file: secrets/standin}}
models:
  coder: {{local: null, cloud: {{provider: openai, model: gpt-5.4-mini}}}}
rules:
  - {{name: all, use: [cloud]}}
"""


def configured(directory: Path, cloud: str, local: str = "") -> str:
    """Rules for a router with these behind it, whose key is written into its directory."""
    secrets = directory / "config" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "standin").write_text("sk-standin")
    return RULES.format(local=local, cloud=cloud) if local else ALONE.format(cloud=cloud)


class DemoCloud(Cloud):
    """Answers each of the five agents. What it does not know it gets wrong, at every try."""

    def __init__(self, knows: Callable[[Task], bool] = lambda _: True) -> None:
        super().__init__()
        self._knows = knows

    def _behaviour(self, request: Request) -> Behaviour:
        if any(self._scripts.values()):
            return super()._behaviour(request)
        return Behaviour(text=answer(request.body, self._knows), exact=True)


def answer(body: dict[str, Any], knows: Callable[[Task], bool] = lambda _: True) -> str:
    """What a model says that has the solution of what it knows."""
    asked = body["messages"][-1]["content"]
    task = next(task for task in TASKS.values() if task.request in asked)
    form = body.get("response_format")
    if form is not None:
        return json.dumps(_object(form["json_schema"]["name"].removesuffix("_answer"), task))
    if "as its docstring" in asked:
        return "Return what was ordered."
    first, attempt = divmod(int(body["seed"]), 100)
    wrong = not knows(task) or (attempt == 0 and (first + len(task.name)) % 4 == 0)
    return f"```python\n{task.mutants[0] if wrong else task.reference}```"


def _object(agent: str, task: Task) -> dict[str, Any]:
    if agent == planner.NAME:
        return {"steps": ["Read the order again.", "Write the function."], "watch_for": "An input may be empty."}
    if agent == reviewer.NAME:
        return {"reason": "It does what was ordered.", "verdict": "approve"}
    cases = [
        dict(zip((*task.parameters, "wanted"), (*example.arguments, example.expected), strict=True))
        for example in (*task.examples, *task.hidden)
    ]
    return {"cases": ([case for case in cases if _fits(case, task)] * 3)[:3]}


def _fits(case: dict[str, Any], task: Task) -> bool:
    try:
        parse(json.dumps({"cases": [case] * 3}), tester.schema_for(task))
    except SchemaMismatch:
        return False
    return True


async def _run(directory: Path) -> None:
    cloud = DemoCloud()
    await cloud.listen("openai")
    rules = configured(directory, cloud.base_url("openai", "127.0.0.1"))
    async with Station(directory, rules) as station:
        told = {"url": f"http://127.0.0.1:{station.port}", "key": KEY, "config": str(station.config)}
        print(json.dumps(told), flush=True)
        await asyncio.to_thread(sys.stdin.read)
    await cloud.close()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1])))
