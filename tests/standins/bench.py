"""A router with stand-ins behind it, and the command that measures them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gridtie.bench.__main__ import parser_of
from gridtie.bench.command import run as run_command
from standins.router import KEY, Station, run
from standins.scripted import DONE, SSE, Behaviour, Turn, Upstream, event

RULES = """
version: 1
providers:
  here: {{type: openai, base_url: '{local}', locality: local}}
  openai: {{type: openai, base_url: '{cloud}'}}
models:
  coder: {{local: here/small, cloud: {{provider: openai, model: gpt-5.4-mini}}}}
rules:
  - {{name: private, when: {{tags: [private]}}, use: [local], never: cloud}}
  - {{name: dev, when: {{environment: [dev, test, ci]}}, use: [local, cloud], max_wait: 30}}
  - {{name: production, when: {{environment: [production]}}, use: [cloud]}}
"""


def engine(tokens: int = 10, first: float = 0.0, between: float = 0.0) -> Behaviour:
    """An engine that streams so many tokens, and counts what it reads as engines do."""

    async def play(turn: Turn) -> None:
        prompt = len(turn.body) // 5
        await turn.send(f"HTTP/1.1 200 OK\r\n{SSE}\r\n".encode())
        await turn.chunk(event(role=True))
        await asyncio.sleep(first)
        for number in range(tokens):
            await turn.chunk(event(f" word{number}"))
            if between:
                await asyncio.sleep(between)
        await turn.chunk(event(finish="stop"))
        usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
        await turn.chunk(b"data: %b\n\n" % json.dumps({"id": "c", "choices": [], "usage": usage}).encode() + DONE)
        await turn.send(b"0\r\n\r\n")

    return play


@dataclass
class Bench:
    """Where the command runs, and what it came to."""

    directory: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    status: int = 0
    out: str = ""
    err: str = ""
    local: Upstream = field(default_factory=Upstream)
    cloud: Upstream = field(default_factory=Upstream)
    # The router's ledger, afterwards.
    rows: list[Any] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.directory / "results.jsonl"

    def command(
        self,
        *words: str,
        local: Sequence[Behaviour] = (engine(),),
        cloud: Sequence[Behaviour] = (engine(),),
        key: str = KEY,
        meanwhile: Callable[[Bench], Awaitable[None]] | None = None,
    ) -> int:
        """Run `gridtie bench WORDS` beside a router of its own; a results file is added where none is named."""
        given = list(words)
        if not any(word in ("--out", "--resume", "--show", "--compare") for word in words):
            given += ["--out", str(self.file)]

        async def work() -> int:
            async with AsyncExitStack() as stack:
                self.local = await stack.enter_async_context(Upstream(*local))
                self.cloud = await stack.enter_async_context(Upstream(*cloud))
                rules = RULES.format(local=self.local.url, cloud=self.cloud.url)
                station = await stack.enter_async_context(Station(self.directory, rules))
                (station.config / "station.key").write_text(key)
                # Of no interest to the router, which has its configuration already.
                facts = {"schema": 1, "engine": {"kind": "embedded", "mode": "native"}, "models": []}
                told = {**facts, "endpoint": f"http://127.0.0.1:{station.port}"}
                (station.config / "station.json").write_text(json.dumps(told))
                self.monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(station.config))
                measuring = asyncio.to_thread(run_command, parser_of().parse_args(given))
                others = [meanwhile(self)] if meanwhile is not None else []
                status, *_ = await asyncio.gather(measuring, *others)
                self.rows = await station.rows(0)
                return status

        self.status = run(work, 60.0)
        self.out, self.err = self.capsys.readouterr()
        return self.status
