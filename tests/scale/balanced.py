"""vllm-router as a station's engine: the station's router, vllm-router itself, and the routers of two servers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from standins.process import free_port
from standins.router import Station

ROOT = Path(__file__).parents[2]
KEY = "gt-" + "f" * 43
RULES = """
version: 1
providers:
  station: {type: station}
models:
  coder: {local: auto, purpose: code}
rules:
  - {name: all, use: [local]}
"""


def arguments(*more: str) -> list[str]:
    """vllm-router's, as the role gives them."""
    role = yaml.safe_load((ROOT / "roles/engine_vllm_router/vars/main.yml").read_text())
    usual = yaml.safe_load((ROOT / "roles/engine_vllm_router/defaults/main.yml").read_text())
    return [
        *("--policy", usual["gridtie_vllm_router_policy"], "--balance-rel-threshold", "1.0"),
        *("--balance-abs-threshold", str(usual["gridtie_vllm_router_balance"])),
        *role["_vllm_router_leaves_alone"],
        *role["_vllm_router_asks_again"],
        *more,
    ]


class Server:
    """One behind it: a station with an engine, whose router other stations reach by TLS."""

    def __init__(self, directory: Path, authority: Path, parallel: int) -> None:
        self.station = Station(directory, RULES, certificate=authority / "server.pem")
        self._parallel = parallel
        self._url = ""
        keys = self.station.config / "keys.json"
        document = json.loads(keys.read_text())
        row = {"name": "relay.front", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}
        document["keys"].append({**row, "environments": ["relay"], "relay": True, "managed": True})
        keys.write_text(json.dumps(document))

    @property
    def url(self) -> str:
        return f"https://localhost:{self.station.router.tls_port}"

    async def provision(self, engine: str | None = None, *, draining: bool = False) -> None:
        """station.json as the playbook writes it; `draining` as an upgrade does."""
        self._url = engine or self._url
        hosts = [self.url.removeprefix("https://")]
        _provision(self.station, "vllm", [_model(self._url, self._parallel)], hosts=hosts, draining=draining)
        await self.station.router.settings.reload()

    async def idle(self) -> None:
        """Once nothing is under way, as an upgrade waits for it."""
        pattern = re.compile(r"^gridtie_(?:in_flight|waiting)(?:[{][^}]*[}])? ([0-9.]+)$", re.MULTILINE)
        while sum(map(float, pattern.findall((await self.station.ask(path="/metrics", key=None)).body.decode()))):
            await asyncio.sleep(0.2)


class Balanced:
    """The whole. `front` is the station that is asked."""

    def __init__(self, front: Station, servers: Sequence[Server], url: str, log: Path) -> None:
        self.front = front
        self.servers = servers
        self.url = url
        self.log = log

    async def asked(self) -> list[str]:
        """The servers that vllm-router asks now."""
        async with httpx.AsyncClient(trust_env=False) as client:
            told = (await client.get(f"{self.url}/workers")).json()["workers"]
        return [each["url"] for each in told if each["is_healthy"]]

    async def slots(self) -> int:
        """How many requests the front sends at once, by its own metrics."""
        text = (await self.front.ask(path="/metrics", key=None)).body.decode()
        (found,) = re.findall(r'^gridtie_target_slots\{target="station/small"\} (\d+)', text, re.MULTILINE)
        return int(found)

    async def until_asked(self, *servers: Server, seconds: float = 60) -> None:
        """Once these and no others are."""
        async with asyncio.timeout(seconds):
            while set(await self.asked()) != {server.url for server in servers}:
                await asyncio.sleep(0.2)


@asynccontextmanager
async def balanced(
    directory: Path, authority: Path, program: Path, engines: Sequence[str], parallel: int = 4
) -> AsyncIterator[Balanced]:
    """`engines` are the servers' own, without /v1; `program` is where vllm-router is."""
    async with AsyncExitStack() as stack:
        servers = [Server(directory / f"server-{number}", authority, parallel) for number in range(len(engines))]
        for server, engine in zip(servers, engines, strict=True):
            await stack.enter_async_context(server.station)
            await server.provision(engine)
        place = directory / "vllm-router"
        place.mkdir()
        (place / "ca.pem").write_text((authority / "ca.pem").read_text())
        rows = [{"name": server.url, "url": server.url, "ca_file": "ca.pem"} for server in servers]
        (place / "servers.json").write_text(json.dumps({"servers": rows}))
        port, log = free_port(), directory / "vllm-router.log"
        stack.enter_context(_running(program, place, port, log))
        front = Station(directory / "front", RULES)
        secrets = front.config / "secrets"
        secrets.mkdir()
        (secrets / "pool").write_text(KEY)
        member = {"key_file": "secrets/pool", "ca_file": str(authority / "ca.pem"), "models": []}
        pool = [{"name": f"server-{number}", "url": each.url, **member} for number, each in enumerate(servers)]
        model = _model(f"http://127.0.0.1:{port}", parallel * len(servers))
        model["servers"] = {server.url: parallel for server in servers}
        _provision(front, "vllm_router", [model], pool=pool)
        await stack.enter_async_context(front)
        found = Balanced(front, servers, f"http://127.0.0.1:{port}", log)
        try:
            async with asyncio.timeout(60):
                while not await _answers(found.url):
                    await asyncio.sleep(0.2)
                await found.until_asked(*servers)
                # Its router looks every few seconds.
                while (await front.ask(path="/readyz", key=None)).status != 200:
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise AssertionError(log.read_text(errors="replace")[-4000:]) from None
        yield found


def _model(url: str, parallel: int) -> dict[str, Any]:
    return {
        "name": "small",
        "catalogue": "small",
        "dialect": "openai",
        "url": url,
        "context": 2048,
        "parallel": parallel,
        "purposes": ["code"],
        "capabilities": ["chat", "json", "tools"],
    }


def _provision(station: Station, engine: str, models: list[dict[str, Any]], **more: Any) -> None:
    facts = {"schema": 1, "engine": {"kind": engine, "mode": "container"}, "models": models, **more}
    (station.config / "station.json").write_text(json.dumps(facts))


async def _answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{url}/liveness")).status_code == 200
    except httpx.HTTPError:
        return False


class _running:
    """vllm-router as a container runs it, on loopback."""

    def __init__(self, program: Path, place: Path, port: int, log: Path) -> None:
        words = arguments("--host", "127.0.0.1", "--prometheus-port", str(free_port()))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(program), str(ROOT / "compose/images/vllm-router"))),
            "GRIDTIE_VLLM_ROUTER_DIR": str(place),
            "GRIDTIE_VLLM_ROUTER_PORT": str(port),
        }
        self._command = [sys.executable, "-m", "gridtie_vllm_router", "serve", *words]
        self._environment = environment
        self._log = log

    def __enter__(self) -> None:
        with self._log.open("wb") as out:
            out.write(f"{shlex.join(self._command)}\n".encode())
            out.flush()
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=out, stderr=subprocess.STDOUT)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
