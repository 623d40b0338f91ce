"""A station to look at: a router process with a past, an engine that answers as slowly as is wanted, and a browser's
way in."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx

from gridtie.ledger import Entry, Try
from standins.ledger import cloud, local, open_ledger, refused
from standins.loopback import on_loopback
from standins.process import PATIENCE_S, free_port
from standins.router import KEY, OTHER_KEY, ROOT, chat, configure

SMALL, LARGE = "gridtie/smollm2:135m", "gridtie/qwen2.5-coder:7b"
DAY = 86_400.0
GIB = 2**30
# What a client may name itself: it must neither run, nor load anything, nor make the page wider.
EVIL = "<img src=https://elsewhere.example/x><script>document.title='run'</script>"

ROUTING = """\
version: 1
providers:
  station: {type: station}
  openai: {type: openai, base_url: "https://127.0.0.1:9/v1", locality: cloud}
models:
  coder: {local: qwen2.5-coder:7b, cloud: {provider: openai, model: gpt-5.4-mini}}
  chat: {local: smollm2}
rules:
  - {name: private, when: {tags: [private]}, use: [local], never: cloud}
  - {name: dev, when: {environment: [dev, test, ci]}, use: [local], max_wait: 30}
  - {name: production, when: {environment: [production]}, use: [cloud, local]}
budgets:
  - {name: clouds, usd: 2.5, period: day}
  - {name: team, usd: 40, period: month}
"""


class Engine:
    """As Ollama: what is in memory, and chats that take their time."""

    def __init__(self) -> None:
        self.port = 0
        # Seconds between two tokens, and tokens of an answer.
        self.between, self.tokens = 0.05, 400
        self.well = True
        # Answers under way come to their end.
        self.ending = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def loaded(self) -> dict[str, Any]:
        return {
            "models": [
                {"name": SMALL, "model": SMALL, "size": 210 * 2**20, "size_vram": 0, "context_length": 8192},
                {"name": LARGE, "model": LARGE, "size": 6 * GIB, "size_vram": 6 * GIB, "context_length": 32768},
            ]
        }


@contextmanager
def engine() -> Iterator[Engine]:
    """One that listens."""
    told = Engine()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = json.dumps(told.loaded()).encode()
            self.send_response(200 if told.well else 500)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("content-type", "application/x-ndjson")
            self.send_header("connection", "close")
            self.end_headers()
            try:
                for _ in range(told.tokens):
                    if told.ending:
                        break
                    self._say({"message": {"role": "assistant", "content": "word "}, "done": False})
                    time.sleep(told.between)
                counts = {"prompt_eval_count": 12, "eval_count": told.tokens, "done_reason": "stop"}
                self._say({"message": {"role": "assistant", "content": ""}, "done": True, **counts})
            except OSError:
                pass  # the router has hung up

        def _say(self, line: dict[str, Any]) -> None:
            self.wfile.write(json.dumps({"model": "m", "created_at": "2026-11-22T14:00:00Z", **line}).encode() + b"\n")

        def log_message(self, *_: Any) -> None:
            pass

    with on_loopback(Handler) as port:
        told.port = port
        yield told


def past(now: float) -> list[Entry]:
    """A month of a small team's requests, the same each time."""
    lot = random.Random(7)
    rows: list[Entry] = []
    for at in range(900):
        age = min(lot.expovariate(1 / (3 * DAY)), 29 * DAY)
        first, tokens = lot.uniform(0.08, 0.9), lot.randrange(40, 900)
        common: dict[str, Any] = {
            "time": now - age - 30,
            "key": lot.choice(("ann", "ben", "ci-bot", "dev", "station")),
            "agent": lot.choice(("continue", "aider", "cline", "codex", None)),
            "first_token": first,
            "duration": first + tokens / lot.uniform(35, 60),
            "input_tokens": lot.randrange(300, 6000),
            "output_tokens": tokens,
        }
        base = (common["input_tokens"] * 0.75 + tokens * 4.5) / 1e6
        if at % 9 == 0:
            spent = {"cost_usd": base * 3.3, "baseline_usd": base, "environment": "production", "rule": "production"}
            rows.append(cloud(f"c{at:04}", **common, **spent))
        elif at % 31 == 0:
            rows.append(refused(f"r{at:04}", time=common["time"], code="budget_exhausted", status=402, key="ci-bot"))
        elif at % 37 == 0:
            tries = (
                Try(target=f"station/{LARGE}", locality="local", outcome="unreachable", message="connection refused"),
                Try(target="openai/gpt-5.4", locality="cloud", outcome="ok", duration=1.0),
            )
            rows.append(cloud(f"f{at:04}", **common, tries=tries, baseline_usd=base, cost_usd=base * 3.3))
        else:
            model = {"target": f"station/{LARGE}", "served": LARGE} if at % 3 else {}
            rows.append(local(f"l{at:04}", **common, **model, baseline_usd=base, rule="dev"))
    rows.append(local("evil", time=now - 60, key="station", agent=EVIL, asked=EVIL + "w" * 60))
    rows.append(local("doctor", time=now - 7200, purpose="doctor", agent="doctor"))
    return rows


@dataclass
class Scene:
    """A router that runs and what is around it."""

    port: int
    engine: Engine
    config: Path
    child: subprocess.Popen[bytes]
    errors: Path
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sign_in(self, key: str = KEY) -> str:
        """An address that is good for one use."""
        answered = httpx.post(f"{self.url}/gridtie/sign-in", headers=_bearer(key), timeout=PATIENCE_S, trust_env=False)
        return self.url + str(answered.json()["path"])

    def ask(self, key: str = OTHER_KEY, model: str = "chat", **fields: Any) -> threading.Thread:
        """A streamed request that goes on in a thread; `answers` of it are nobody's business."""
        body = {**chat("hello", stream=True), "model": model, **fields}

        def work() -> None:
            try:
                with httpx.stream(
                    "POST",
                    f"{self.url}/v1/chat/completions",
                    json=body,
                    headers={**_bearer(key), "x-gridtie-agent": "aider"},
                    timeout=PATIENCE_S,
                    trust_env=False,
                ) as answer:
                    for _ in answer.iter_raw():
                        pass
            except httpx.HTTPError:
                pass  # the scene ends

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self.threads.append(thread)
        return thread

    def settle(self) -> None:
        """Nothing is under way any more."""
        self.engine.ending = True
        for thread in self.threads:
            thread.join(PATIENCE_S)
        self.threads.clear()
        self.engine.ending = False


@contextmanager
def scene(
    directory: Path, rows: Callable[[float], list[Entry]] | None = past, *, routing: str = ROUTING, models: bool = True
) -> Iterator[Scene]:
    """A station with the past that `rows` gives; None: it was set up a moment ago."""
    config, state = configure(directory / "config", routing), directory / "state"
    ledger = open_ledger(state)
    for row in rows(time.time()) if rows is not None else ():
        ledger.record(row)
    ledger.close()
    with engine() as told, (directory / "errors").open("wb") as errors:
        if models:
            (config / "station.json").write_text(json.dumps(_station(told.url)))
        port = free_port()
        child = subprocess.Popen(
            [sys.executable, "-m", "gridtie.gateway.serve"],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "src"),
                "GRIDTIE_CONFIG_DIR": str(config),
                "GRIDTIE_STATE_DIR": str(state),
                "GRIDTIE_LISTEN": f"127.0.0.1:{port}",
                "GRIDTIE_ACCESS_LOG": "off",
                "GRIDTIE_DRAIN_SECONDS": "0",
            },
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        opened = Scene(port, told, config, child, directory / "errors")
        try:
            _listening(opened)
            yield opened
        finally:
            child.terminate()
            child.wait(PATIENCE_S)
            for thread in opened.threads:
                thread.join(PATIENCE_S)


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _listening(opened: Scene) -> None:
    limit = time.monotonic() + PATIENCE_S
    while opened.child.poll() is None and time.monotonic() < limit:
        try:
            httpx.get(f"{opened.url}/healthz", trust_env=False, timeout=PATIENCE_S)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(opened.errors.read_text())


def _station(url: str) -> dict[str, Any]:
    def model(name: str, **more: Any) -> dict[str, Any]:
        catalogue = name.removeprefix("gridtie/")
        common = {
            "name": name,
            "catalogue": catalogue,
            "dialect": "ollama",
            "url": url,
            "capabilities": ["chat", "json"],
        }
        return {**common, "purposes": ["code", "chat"], **more}

    return {
        "schema": 1,
        "engine": {"kind": "ollama", "mode": "native", "version": "0.34.4"},
        "models": [
            model(SMALL, context=8192, parallel=2, predicted_bytes=230 * 2**20),
            model(LARGE, context=32768, parallel=2, predicted_bytes=int(6.3 * GIB), score=57.9),
        ],
    }
