"""What an engine holds in memory is asked for while somebody watches, and not more often than every few seconds."""

from __future__ import annotations

import asyncio
import json

from gridtie.gateway.dashboard.engines import EVERY_SECONDS, Engines, InMemory
from gridtie.providers.target import Target
from standins.router import run

ROW = {"name": "small:latest", "size": 100, "size_vram": 60, "context_length": 8192}


def target(port: int, model: str = "small:latest", **changes: object) -> Target:
    fields = {"id": f"station/{model}", "provider": "station", "model": model, "locality": "local", "dialect": "ollama"}
    url = f"http://127.0.0.1:{port}"
    return Target(**{**fields, "base_url": url, "probe_url": f"{url}/api/ps", "own": True, **changes})  # type: ignore[arg-type]


def test_its_word_is_kept_by_target_and_asked_for_seldom() -> None:
    async def ask(answer: bytes) -> tuple[int, dict[str, InMemory]]:
        asked = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(answer), answer))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        engines = Engines()
        targets = [target(port), target(port, "other:1b"), target(port, "cloud", own=False)]
        for now in (100.0, 101.0, 100.0 + EVERY_SECONDS):
            engines.look(now, targets)
            if engines._asking is not None:
                await engines._asking
        await engines.close()
        server.close()
        return asked, dict(engines.held)

    asked, held = run(lambda: ask(json.dumps({"models": [ROW]}).encode()))
    assert asked == 2
    assert {id: (each.size, each.size_vram, each.context_length) for id, each in held.items()} == {
        "station/small:latest": (100, 60, 8192)
    }
    assert run(lambda: ask(b"no json"))[1] == {}


def test_an_engine_that_is_down_holds_nothing() -> None:
    async def ask() -> dict[str, InMemory]:
        engines = Engines()
        engines.look(100.0, [target(9)])
        assert engines._asking is not None
        await engines._asking
        return dict(engines.held)

    assert run(ask) == {}
