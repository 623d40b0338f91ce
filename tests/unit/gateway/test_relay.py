"""Two real routers: a workstation's, and a server's that takes its requests over TLS with a relay key."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from standins.authority import make_authority
from standins.router import Answered, Station, chat, run
from standins.scripted import Behaviour, Turn, Upstream, answer, stream, whole

RELAY_KEY = "gt-" + "r" * 43
RULES = """
version: 1
providers:
  station: {type: station}
  pool: {type: pool}
models:
  coder: {local: auto, purpose: code}
rules:
  - {name: all, use: [local]}
timeouts: {connect: 1}
"""


def model(name: str, url: str, score: float) -> dict[str, Any]:
    return {
        "name": name,
        "catalogue": name,
        "dialect": "openai",
        "url": url,
        "context": 8192,
        "purposes": ["code"],
        "score": score,
    }


def provision(directory: Path, models: list[dict[str, Any]], pool: list[dict[str, Any]], **more: Any) -> None:
    """station.json as the playbook writes it."""
    config = directory / "config"
    config.mkdir(parents=True, exist_ok=True)
    facts = {"schema": 1, "engine": {"kind": "embedded", "mode": "container"}, "models": models, "pool": pool, **more}
    (config / "station.json").write_text(json.dumps(facts))


def admit_relay(station: Station) -> None:
    """The server learns the hash of the workstation's key."""
    path = station.config / "keys.json"
    document = json.loads(path.read_text())
    digest = hashlib.sha256(RELAY_KEY.encode()).hexdigest()
    row = {"name": "relay.laptop", "sha256": digest, "environments": ["relay"], "relay": True, "managed": True}
    document["keys"].append(row)
    path.write_text(json.dumps(document))


@asynccontextmanager
async def server(directory: Path, authority: Path, engine: str) -> AsyncIterator[Station]:
    provision(directory, [model("big", engine, 70.0)], [])
    station = Station(directory, RULES, certificate=authority / "server.pem")
    admit_relay(station)
    async with station:
        # The port is known only now; on a real host the playbook writes it.
        hosts = [f"localhost:{station.router.tls_port}"]
        provision(directory, [model("big", engine, 70.0)], [], hosts=hosts)
        await station.router.settings.reload()
        yield station


@asynccontextmanager
async def workstation(directory: Path, authority: Path, engine: str, port: int) -> AsyncIterator[Station]:
    member = {
        "name": "gpu-server",
        "url": f"https://localhost:{port}",
        "key_file": "secrets/pool-gpu-server",
        "ca_file": "tls/pool-ca.pem",
        "models": [model("big", "http://engine", 70.0)],
    }
    provision(directory, [model("small", engine, 10.0)], [member])
    config = directory / "config"
    for name, content in (
        ("secrets/pool-gpu-server", RELAY_KEY),
        ("tls/pool-ca.pem", (authority / "ca.pem").read_text()),
    ):
        (config / name).parent.mkdir(exist_ok=True)
        (config / name).write_text(content)
    async with Station(directory, RULES) as station:
        yield station


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("authority")
    make_authority(directory)
    return directory


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("stranger")
    make_authority(directory)
    return directory


def said(answered: Answered) -> str:
    return str(answered.json["choices"][0]["message"]["content"])


BIG: Behaviour = whole(answer("from the server"))
SMALL: Behaviour = whole(answer("from the laptop"))


def test_the_servers_engine_answers_and_the_saving_is_counted_once(tmp_path: Path, authority: Path) -> None:
    async def work() -> None:
        async with (
            Upstream(BIG) as big,
            Upstream(SMALL) as small,
            server(tmp_path / "server", authority, big.url.removesuffix("/v1")) as there,
            workstation(tmp_path / "laptop", authority, small.url.removesuffix("/v1"), there.router.tls_port) as here,
        ):
            answered = await here.ask(chat())
            assert said(answered) == "from the server"
            assert answered.headers["x-gridtie-target"] == "pool.gpu-server/big"
            assert big.turns[0].json["model"] == "big"

            mine = (await here.ask(path="/gridtie/usage")).json
            assert (mine["totals"]["local_requests"], mine["relayed"]["requests"]) == (1, 0)
            assert mine["totals"]["saved_usd"] > 0

            theirs = (await there.ask(path="/gridtie/usage")).json
            assert (theirs["totals"]["requests"], theirs["relayed"]["requests"]) == (0, 1)
            assert theirs["relayed"]["output_tokens"] == 2

    run(work)


def test_a_stream_comes_through_both_routers(tmp_path: Path, authority: Path) -> None:
    async def work() -> None:
        async with (
            Upstream(stream("a", "b", "c")) as big,
            Upstream(SMALL) as small,
            server(tmp_path / "server", authority, big.url.removesuffix("/v1")) as there,
            workstation(tmp_path / "laptop", authority, small.url.removesuffix("/v1"), there.router.tls_port) as here,
        ):
            answered = await here.ask(chat(stream=True))
            assert answered.text == "abc"
            assert answered.events[-1] == "[DONE]"

    run(work)


def test_the_own_engine_answers_while_the_server_is_down_and_the_server_again_afterwards(
    tmp_path: Path, authority: Path
) -> None:
    async def work() -> None:
        async with (
            Upstream(BIG) as big,
            Upstream(SMALL) as small,
            server(tmp_path / "server", authority, big.url.removesuffix("/v1")) as there,
            workstation(tmp_path / "laptop", authority, small.url.removesuffix("/v1"), there.router.tls_port) as here,
        ):
            await there.router.stop()
            assert said(await here.ask(chat())) == "from the laptop"

            async with server(tmp_path / "again", authority, big.url.removesuffix("/v1")) as back:
                member = {
                    "name": "gpu-server",
                    "url": f"https://localhost:{back.router.tls_port}",
                    "key_file": "secrets/pool-gpu-server",
                    "ca_file": "tls/pool-ca.pem",
                    "models": [model("big", "http://engine", 70.0)],
                }
                own = model("small", small.url.removesuffix("/v1"), 10.0)
                provision(tmp_path / "laptop", [own], [member])
                await here.router.settings.reload()
                async with asyncio.timeout(10):
                    while said(await here.ask(chat())) != "from the server":
                        await asyncio.sleep(0.1)

    run(work)


def test_a_server_of_another_authority_gets_no_key_and_no_prompt(
    tmp_path: Path, authority: Path, stranger: Path
) -> None:
    async def work() -> None:
        async with (
            Upstream(BIG) as big,
            Upstream(SMALL) as small,
            server(tmp_path / "server", stranger, big.url.removesuffix("/v1")) as there,
            workstation(tmp_path / "laptop", authority, small.url.removesuffix("/v1"), there.router.tls_port) as here,
        ):
            assert said(await here.ask(chat())) == "from the laptop"
            assert big.turns == []

    run(work)


@pytest.mark.parametrize(
    ("path", "body"), [("/gridtie/usage", None), ("/gridtie/route", {}), ("/gridtie/config", None)]
)
def test_a_relay_key_opens_nothing_but_the_engine(
    tmp_path: Path, authority: Path, path: str, body: dict[str, Any] | None
) -> None:
    async def work() -> None:
        async with Upstream(BIG) as big, server(tmp_path, authority, big.url.removesuffix("/v1")) as there:
            refused = await there.ask(body, path=path, key=RELAY_KEY)
            assert (refused.status, refused.error["code"]) == (403, "relay_not_allowed")
            assert (await there.ask(path="/v1/models", key=RELAY_KEY)).status == 200

    run(work)


def test_a_relay_key_claims_no_environment_of_people(tmp_path: Path, authority: Path) -> None:
    async def work() -> None:
        async with Upstream(BIG) as big, server(tmp_path, authority, big.url.removesuffix("/v1")) as there:
            claimed = {"x-gridtie-environment": "production"}
            assert (await there.ask(chat(), key=RELAY_KEY, headers=claimed)).status == 403

    run(work)


def test_a_router_of_another_version_may_send_headers_that_are_not_known_here(tmp_path: Path, authority: Path) -> None:
    async def work() -> None:
        async with Upstream(BIG) as big, server(tmp_path, authority, big.url.removesuffix("/v1")) as there:
            newer = {"x-gridtie-affinity": "session-1"}
            assert (await there.ask(chat(), key=RELAY_KEY, headers=newer)).status == 200
            assert (await there.ask(chat(), headers=newer)).status == 400

    run(work)


def test_a_station_that_is_drained_serves_its_own_people_and_sends_other_routers_elsewhere(
    tmp_path: Path, authority: Path
) -> None:
    async def work() -> None:
        async with Upstream(BIG) as big, server(tmp_path, authority, big.url.removesuffix("/v1")) as there:
            engine = big.url.removesuffix("/v1")

            async def drained(draining: bool) -> tuple[bool, int, int]:
                provision(tmp_path, [model("big", engine, 70.0)], [], hosts=there_hosts, draining=draining)
                await there.router.settings.reload()
                told = (await there.ask(path="/health", key=None)).json["reasons"]
                ready = (await there.ask(path="/readyz", key=None)).json["reasons"]
                return (
                    "it takes no requests of other stations now" in set(told) - set(ready),
                    (await there.ask(chat(), key=RELAY_KEY)).status,
                    (await there.ask(chat())).status,
                )

            there_hosts = [f"localhost:{there.router.tls_port}"]
            assert await drained(False) == (False, 200, 200)
            assert await drained(True) == (True, 503, 200)
            refused = await there.ask(path="/v1/models", key=RELAY_KEY)
            assert (refused.status, refused.error["code"]) == (503, "draining")
            assert await drained(False) == (False, 200, 200)

    run(work)


def test_the_pool_asks_its_own_engine_while_a_member_is_drained(tmp_path: Path, authority: Path) -> None:
    async def work() -> None:
        async with (
            Upstream(BIG) as big,
            Upstream(SMALL) as small,
            server(tmp_path / "server", authority, big.url.removesuffix("/v1")) as there,
            workstation(tmp_path / "laptop", authority, small.url.removesuffix("/v1"), there.router.tls_port) as here,
        ):
            engine, hosts = big.url.removesuffix("/v1"), [f"localhost:{there.router.tls_port}"]
            provision(tmp_path / "server", [model("big", engine, 70.0)], [], hosts=hosts, draining=True)
            await there.router.settings.reload()

            assert said(await here.ask(chat())) == "from the laptop"
            assert big.turns == []

    run(work)


def test_vllms_tokens_of_a_prompt_are_told_to_other_stations_and_to_nobody_else(
    tmp_path: Path, authority: Path
) -> None:
    async def tokens(turn: Turn) -> None:
        body = json.dumps({"token_ids": [1, 2, 3], "for": turn.json["model"]}).encode()
        await turn.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async def work() -> None:
        path = "/v1/chat/completions/render"
        async with Upstream(tokens) as engine, server(tmp_path, authority, engine.url.removesuffix("/v1")) as there:
            elsewhere = await there.ask({**chat(), "model": "big"}, path=path, key=RELAY_KEY)
            assert (elsewhere.status, elsewhere.error["code"]) == (404, "model_not_found")

            models, hosts = [model("big", engine.url.removesuffix("/v1"), 70.0)], [f"localhost:{there.router.tls_port}"]
            provision(tmp_path, models, [], hosts=hosts, engine={"kind": "vllm", "mode": "container"})
            await there.router.settings.reload()
            told = await there.ask({**chat(), "model": "big"}, path=path, key=RELAY_KEY)
            assert (told.status, told.json) == (200, {"token_ids": [1, 2, 3], "for": "big"})
            assert [turn.line for turn in engine.turns] == [f"POST {path} HTTP/1.0"]

            assert (await there.ask({**chat(), "model": "big"}, path=path)).status == 403
            assert (await there.ask({**chat(), "model": "coder"}, path=path, key=RELAY_KEY)).status == 404
            assert (await there.ask(b"[", path=path, key=RELAY_KEY)).status == 400
            # It takes no place in the ledger.
            assert (await there.ask(path="/gridtie/usage")).json["relayed"]["requests"] == 0

    run(work)


def test_a_vllm_that_cannot_be_reached_renders_nothing(tmp_path: Path, authority: Path) -> None:
    async def work() -> None:
        async with server(tmp_path, authority, "http://127.0.0.1:9") as there:
            provision(
                tmp_path, [model("big", "http://127.0.0.1:9", 1.0)], [], engine={"kind": "vllm", "mode": "native"}
            )
            await there.router.settings.reload()
            asked = await there.ask({**chat(), "model": "big"}, path="/v1/completions/render", key=RELAY_KEY)
            assert (asked.status, asked.error["code"]) == (503, "engine_unreachable")

    run(work)
