"""A pool on loopback: engines as fast as they are told to be, the files of members, and of routers that ask them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple

from standins.router import configure
from standins.scripted import answer

MODEL = "pooled"
RULES = """
version: 1
providers:
  station: {{type: station{station}}}
  pool: {{type: pool, prefer: always}}
models:
  coder: {{local: auto, purpose: code}}
rules:
  - {{name: all, use: [local]{rule}}}
"""


def rules(station: str = "", rule: str = "") -> str:
    """A routing file with a station and a pool; what is given is added to the station and to the rule."""
    return RULES.format(station=station, rule=rule)


def model(url: str, parallel: int = 1, name: str = MODEL, score: float = 70.0) -> dict[str, Any]:
    """A model of station.json."""
    return {
        "name": name, "catalogue": name, "dialect": "openai", "url": url, "context": 8192, "parallel": parallel,
        "purposes": ["code"], "score": score,
    }  # fmt: skip


class Member(NamedTuple):
    """A station that lends: its name, the port of its router with TLS, and how many requests it serves at once."""

    name: str
    port: int
    slots: int


def relay_key(name: str) -> str:
    """The key of an asking router at every member."""
    return "gt-" + hashlib.sha256(name.encode()).hexdigest()[:43]


def provision(config: Path, models: Sequence[dict[str, Any]], pool: Sequence[dict[str, Any]] = (), **more: Any) -> None:
    """station.json as the playbook writes it."""
    config.mkdir(parents=True, exist_ok=True)
    facts = {
        "schema": 1, "engine": {"kind": "embedded", "mode": "container"}, "models": models, "pool": pool, **more,
    }  # fmt: skip
    (config / "station.json").write_text(json.dumps(facts))


def admit(config: Path, names: Iterable[str]) -> None:
    """A member learns the hashes of relay keys."""
    path = config / "keys.json"
    document = json.loads(path.read_text())
    for name in names:
        digest = hashlib.sha256(relay_key(name).encode()).hexdigest()
        row = {"name": f"relay.{name}", "sha256": digest, "environments": ["relay"], "relay": True, "managed": True}
        document["keys"].append(row)
    path.write_text(json.dumps(document))


def lending(
    config: Path, authority: Path, member: Member, engine: str, askers: Iterable[str], station: str = ""
) -> None:
    """The files of a member whose engine is at `engine`, a URL without a path."""
    configure(config, rules(station))
    (config / "tls").mkdir(exist_ok=True)
    shutil.copy(authority / "server.pem", config / "tls" / "server.pem")
    provision(config, [model(engine, member.slots)], hosts=[f"127.0.0.1:{member.port}"])
    admit(config, askers)


def asking(
    config: Path,
    authority: Path,
    name: str,
    members: Sequence[Member],
    own: Sequence[dict[str, Any]] = (),
    rule: str = "",
) -> None:
    """The files of a router that asks these members, with models of its own if it has any."""
    configure(config, rules(rule=rule))
    for each in ("secrets", "tls"):
        (config / each).mkdir(exist_ok=True)
    (config / "secrets" / "pool").write_text(relay_key(name))
    shutil.copy(authority / "ca.pem", config / "tls" / "pool-ca.pem")
    pool = [
        {
            "name": member.name, "url": f"https://127.0.0.1:{member.port}", "key_file": "secrets/pool",
            "ca_file": "tls/pool-ca.pem", "models": [model("http://engine", member.slots)],
        }
        for member in members
    ]  # fmt: skip
    provision(config, own, pool)


class Engine:
    """Serves whatever is asked, `speed` units of work a second each; the last word of a prompt says how many it is."""

    def __init__(self, speed: float = 1.0, name: str = "") -> None:
        self.speed = speed
        self.name = name
        # By the prompt without its last word: when it began (monotonic).
        self.began: dict[str, float] = {}
        self.at_once = self.most = 0
        self.answered = Counter[str]()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Engine:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET "):
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                    continue
                lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
                length = next(int(value) for name, _, value in lines if name == b"content-length")
                body = json.loads(await reader.readexactly(length))
                writer.write(await self._served(body["messages"][-1]["content"], reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _served(self, prompt: str, reader: asyncio.StreamReader) -> bytes:
        what, _, units = prompt.rpartition(" ")
        self.began[what] = monotonic()
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            left = float(units)
            # In small steps, so that a change of speed holds for what is under way, and one who left is noticed.
            while left > 0 and not reader.at_eof():
                step = min(0.05, left / self.speed)
                await asyncio.sleep(step)
                left -= step * self.speed
            if reader.at_eof():
                raise ConnectionError
        finally:
            self.at_once -= 1
        self.answered[self.name] += 1
        content = answer(self.name, output=max(1, round(100 * float(units))))
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
            len(content),
            content,
        )
