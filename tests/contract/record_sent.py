"""Record what the agents send, with filler in the place of their texts: tests/contract/sent/CLIENT.json.

    scripts/client_programs.py agents
    PYTHONPATH=src:tests .venv/bin/python tests/contract/record_sent.py [CLIENT...]

Each is wired and asked as in test_agents.py: it reads a file by its own tool, so that a call and its result are among
what it sends.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from clients.agents import AGENTS, FILE, Agent, Home
from clients.filler import filled, headers
from standins.authority import make_authority
from standins.behaviour import Behaviour
from standins.fixtures import RouterProcess, running
from standins.recorder import Recorder, Sent, recording
from standins.targets import SECRETS, every_target, station_of

OUT = Path(__file__).parent / "sent"
MODEL = "openai-agent"


def record(agent: Agent, directory: Path) -> list[dict[str, Any]]:
    """What it sends for one question."""
    make_authority(directory)
    with running(directory / "server.pem") as cloud:
        router = RouterProcess(directory / "router", every_target(cloud, directory, ("agent",)), SECRETS)
        try:
            with recording(router.port) as recorder:
                station_of(router, recorder)
                home = Home(directory / "home", router.config)
                home.connect(agent.client, "--write", "--model", MODEL)
                (home.work / FILE).write_text("vermilion\n")
                calls = (agent.tool(home.work),) if agent.tool else ()
                cloud.be("standin-agent", Behaviour(agent=True, calls=calls))
                return _asked(agent, home, recorder)
        finally:
            router.stop()


def _asked(agent: Agent, home: Home, recorder: Recorder) -> list[dict[str, Any]]:
    recorder.requests.clear()
    done = home.ask(agent, f"Read {FILE}.", model=MODEL)
    if done.returncode:
        raise SystemExit(f"{agent.row}: {done.stdout}{done.stderr}")
    found = [_kept(sent) for sent in recorder.requests]
    return [each for at, each in enumerate(found) if not any(_goes_on(each, later) for later in found[at + 1 :])]


def _goes_on(each: dict[str, Any], later: dict[str, Any]) -> bool:
    """Whether a later request says all that this one said, and more or nothing else."""
    if each == later:
        return True
    said, more = (
        body.get("messages") or body.get("input") or [] for body in (each.get("body", {}), later.get("body", {}))
    )
    return each["path"] == later["path"] and len(said) < len(more) and more[: len(said)] == said


def _kept(sent: Sent) -> dict[str, Any]:
    kept: dict[str, Any] = {"method": sent.method, "path": sent.path, "headers": headers(sent.headers)}
    return kept | ({"body": filled(json.loads(sent.body))} if sent.body else {})


def main() -> None:
    OUT.mkdir(exist_ok=True)
    for agent in AGENTS:
        if sys.argv[1:] and agent.row not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            found = record(agent, Path(scratch))
        (OUT / f"{agent.row}.json").write_text(json.dumps(found, indent=1) + "\n")
        print(agent.row, [f"{each['method']} {each['path']}" for each in found])


if __name__ == "__main__":
    main()
