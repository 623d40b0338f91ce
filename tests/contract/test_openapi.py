"""docs/openapi.yaml is what a router process does: schemathesis asks it with data that fit and data that do not."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
import yaml

from standins.process import process
from standins.router import KEY, ROOT, Station, chat, request, routing, run
from standins.scripted import Upstream, whole

DESCRIPTION = ROOT / "docs" / "openapi.yaml"
# Each operation gets so many requests of random data, beside those that vary one thing at a time.
EXAMPLES = 25
LIMIT_S = 110.0


def with_known_request(directory: Path, id: str) -> Path:
    """The description, with a request as an example that this router has answered."""
    description = yaml.safe_load(DESCRIPTION.read_text())
    (parameter,) = description["paths"]["/gridtie/requests/{id}"]["get"]["parameters"]
    parameter["example"] = id
    path = directory / "openapi.yaml"
    path.write_text(yaml.safe_dump(description))
    return path


def test_the_router_does_what_its_description_says(tmp_path: Path) -> None:
    """No 5xx; status, content type and body as described; sound data accepted, other data and no key refused."""

    async def ask() -> tuple[int | None, str, int, str]:
        async with Upstream(whole()) as here, process(tmp_path, routing(here.url, use="[local]")) as router:
            wire = await router.connect()
            await wire.send(request(chat(), port=router.port))
            known = (await wire.answered()).headers["x-gridtie-request-id"]
            command = [
                *("run", str(with_known_request(tmp_path, known)), "--url", f"http://127.0.0.1:{router.port}"),
                *("--header", f"Authorization: Bearer {KEY}", "--phases", "examples,coverage,fuzzing"),
                *("--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none"),
                *("--continue-on-failure", "--no-color", "--workers", "1", "--checks", "all"),
                *("--request-timeout", "10"),
                # It deletes what the other operations are asked about.
                *("--exclude-path", "/gridtie/ledger/prune"),
            ]
            child = await asyncio.create_subprocess_exec(
                str(Path(sys.executable).parent / "st"),
                *command,
                cwd=tmp_path,
                env={**os.environ, "NO_PROXY": "127.0.0.1", "COLUMNS": "200"},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            out, _ = await child.communicate()
            alive = (await router.get("/healthz")).status_code
            return child.returncode, out.decode(), alive, router.log

    status, told, alive, log = run(ask, LIMIT_S)

    assert status == 0, told
    assert alive == 200
    assert "Traceback" not in log


@pytest.mark.parametrize("since", ["9" * 400, f"{'9' * 400}h", "inf", "nan", "-1h", "99999-01-01"])
def test_a_time_beyond_all_times_is_the_clients_mistake(tmp_path: Path, since: str) -> None:
    async def ask() -> int:
        async with Station(tmp_path, routing("http://127.0.0.1:1/v1", use="[local]")) as router:
            return (await router.ask(path=f"/gridtie/usage?since={since}")).status

    assert run(ask) == 400


@pytest.mark.parametrize("source", ["src/gridtie/gateway"])
def test_every_path_of_the_router_is_described(source: str) -> None:
    """Read from where paths are declared: a new one is in the description, or is of another surface."""
    declared = {
        path.rstrip("/")
        for file in (ROOT / source).rglob("*.py")
        for path in re.findall(r'Route\(\s*path="(/(?:gridtie/|healthz|health|readyz|metrics)[^"]*)"', file.read_text())
    }
    described = {path.removesuffix("/{id}") for path in yaml.safe_load(DESCRIPTION.read_text())["paths"]}

    assert declared == described
