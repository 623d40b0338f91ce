"""What came of asking through people's clients: a report of tests becomes docs/results/clients.json.

`make test PART=clients` runs tests/contract/test_clients.py and test_agents.py and keeps their report here;
scripts/results_pages.py writes the table of docs/clients.md from it.
"""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from record import about, put_json
from results import RESULTS, ROOT, SCHEMA

sys.path += [str(ROOT / "tests"), str(ROOT / "src")]
from clients.agents import AGENTS
from clients.environments import SDKS
from gridtie.host.connect.clients import BY_NAME, CLIENTS

NAME = "clients"
FILES = ("tests/contract/test_clients.py", "tests/contract/test_agents.py")
_PACKAGES = {
    "claude-code": "@anthropic-ai/claude-code", "codex": "@openai/codex", "opencode": "opencode-ai", "cline": "cline",
    "continue": "@continuedev/cli", "aider": "aider-chat", "aider-ollama": "aider-chat", "llm": "llm",
}  # fmt: skip
# Of a program by an interface of another's.
_TITLES = {"aider-ollama": "aider, over Ollama"}


def keep(junit: Path, status: int, seconds: float, made_by: str) -> None:
    """Take a report into docs/results."""
    made = about("make test PART=clients", status, seconds, made_by)
    found = {"rows": rows(junit), "not_run": not_run()}
    put_json(RESULTS / f"{NAME}.json", {"schema": SCHEMA, "name": NAME, **made, "result": found})


def rows(junit: Path) -> list[dict[str, Any]]:
    """Each client by each interface, streamed and whole: how much was tried, and what of it failed."""
    tried: dict[tuple[str, str], int] = defaultdict(int)
    failed: dict[tuple[str, str], list[str]] = defaultdict(list)
    for case in ET.parse(junit).iter("testcase"):
        told = {each.get("name"): each.get("value", "") for each in case.iter("property")}
        if "client" not in told or case.find("skipped") is not None:
            continue
        for how in [told["how"]] if told["how"] else ("streamed", "whole"):
            tried[str(told["client"]), str(how)] += 1
            if case.find("failure") is not None or case.find("error") is not None:
                failed[str(told["client"]), str(how)].append(str(case.get("name")))
    facts = _facts()
    return [
        {**facts[client], "how": how, "tried": count, "failed": failed[client, how]}
        for (client, how), count in sorted(tried.items(), key=lambda item: (list(facts).index(item[0][0]), item[0][1]))
    ]


def not_run() -> list[str]:
    """Those that can be wired, and of which no program is asked."""
    asked = {agent.client for agent in AGENTS} | {sdk.client for sdk in SDKS.values()}
    return [client.title for client in CLIENTS if client.name not in asked]


def _facts() -> dict[str, dict[str, str]]:
    """Name, version and interface of each that is asked, agents first."""
    agents = {
        agent.row: {
            "client": _TITLES.get(agent.row) or BY_NAME[agent.client].title,
            "version": _locked(_PACKAGES[agent.row], "agents", "sdks"),
            "asks": agent.interface,
        }
        for agent in AGENTS
    }
    return agents | {
        name: {
            "client": name,
            "version": version(sdk.package) if sdk.driver == "python" else _locked(sdk.package, "sdks"),
            "asks": sdk.path,
        }
        for name, sdk in SDKS.items()
    }


def _locked(package: str, *kinds: str) -> str:
    """The version that the locks of these clients have, Node's or Python's."""
    for kind in kinds:
        node = json.loads((ROOT / "tests" / "clients" / kind / "package-lock.json").read_text())["packages"]
        if found := node.get(f"node_modules/{package}"):
            return str(found["version"])
        python = (ROOT / "requirements" / f"clients-{kind}.lock").read_text()
        if pinned := re.search(rf"^{re.escape(package)}==(\S+)", python, re.MULTILINE):
            return pinned[1]
    raise ValueError(f"no lock of the clients has {package}")
