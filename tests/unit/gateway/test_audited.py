"""What the router takes up, and what it does not, can be read afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gridtie.host import audit
from standins.router import Station, routing, run
from standins.scripted import Upstream, whole


def test_changes_are_noted_with_their_digests_and_mistakes_without_their_text(tmp_path: Path) -> None:
    async def ask() -> tuple[list[dict[str, Any]], list[str]]:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            settings, file = station.router.settings, station.config / "llm_routing.yaml"
            digests = [settings.current.digest]
            await settings.reload()
            file.write_text(file.read_text() + "# edited\n")
            await settings.reload()
            digests.append(settings.current.digest)
            file.write_text("version: sk-secret\n")
            await settings.reload()
            document = json.loads((station.config / "keys.json").read_text())
            (station.config / "keys.json").write_text(json.dumps({**document, "keys": document["keys"][:1]}))
            await settings.reload()
            return audit.read(audit.of_router(tmp_path / "state")), digests

    lines, digests = run(ask)

    assert [line["what"] for line in lines] == [
        "router started",
        "routing file taken up",
        "changed configuration not taken up",
        "keys taken up",
    ]
    assert {line["by"] for line in lines} == {"router"}
    assert (lines[1]["before"], lines[1]["after"]) == (digests[0], digests[1])
    assert lines[2]["routing"] == digests[1]
    assert "sk-secret" not in json.dumps(lines)


def test_a_log_that_cannot_be_written_keeps_no_key_from_being_revoked(tmp_path: Path) -> None:
    async def ask() -> int:
        async with Upstream(whole()) as here, Station(tmp_path, routing(here.url, use="[local]")) as station:
            log = audit.of_router(tmp_path / "state") / audit.FILE
            log.unlink()
            log.mkdir()
            (station.config / "keys.json").write_text('{"schema": 1, "keys": []}')
            await station.router.settings.reload()
            return (await station.ask(path="/v1/models")).status

    assert run(ask) == 401
