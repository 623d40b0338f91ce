"""What came of asking through people's clients: a report of tests becomes docs/results/clients.json.

`make test PART=clients` runs tests/contract/test_clients.py and test_agents.py, and tests/clients/test_at_a_station.py
at a station of its own, and keeps their reports here; scripts/results_pages.py writes the table of docs/clients.md.
"""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import record
from results import ROOT

sys.path += [str(ROOT / "tests"), str(ROOT / "src")]
from clients.agents import AGENTS
from clients.environments import SDKS
from gridtie.host.connect.clients import BY_NAME, CLIENTS

NAME = "clients"
FILES = ("tests/contract/test_clients.py", "tests/contract/test_agents.py")
AT_A_STATION = "tests/clients/test_at_a_station.py"
_PACKAGES = {
    "claude-code": "@anthropic-ai/claude-code", "codex": "@openai/codex", "opencode": "opencode-ai", "cline": "cline",
    "continue": "@continuedev/cli", "aider": "aider-chat", "aider-ollama": "aider-chat", "llm": "llm",
}  # fmt: skip
# Of a program by an interface of another's.
_TITLES = {"aider-ollama": "aider, over Ollama"}


def keep(junit: Sequence[Path], status: int, seconds: float, made_by: str) -> None:
    """Take reports into docs/results."""
    found = {"rows": rows(junit), "not_run": not_run()}
    record.keep(NAME, "make test PART=clients", status, seconds, made_by, found)


def rows(junit: Sequence[Path]) -> list[dict[str, Any]]:
    """Each client by each interface, streamed and whole: how much was tried, what of it failed, and whether a fresh
    station's model answered it, None where that was not asked.
    """
    tried: dict[tuple[str, str], int] = defaultdict(int)
    failed: dict[tuple[str, str], list[str]] = defaultdict(list)
    at_station: dict[tuple[str, str], bool] = {}
    for case in (case for report in junit for case in ET.parse(report).iter("testcase")):
        told = {str(each.get("name")): each.get("value", "") for each in case.iter("property")}
        if case.find("skipped") is not None:
            continue
        well = case.find("failure") is None and case.find("error") is None
        if "station" in told:
            at_station[told["station"], told["how"]] = well
        if "client" not in told:
            continue
        for how in [told["how"]] if told["how"] else ("streamed", "whole"):
            tried[told["client"], how] += 1
            if not well:
                failed[told["client"], how].append(str(case.get("name")))
    facts = _facts()
    places = list(facts)
    return [
        {**facts[row[0]], "how": row[1], "tried": tried[row], "failed": failed[row], "station": at_station.get(row)}
        for row in sorted(tried.keys() | at_station.keys(), key=lambda row: (places.index(row[0]), row[1]))
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
