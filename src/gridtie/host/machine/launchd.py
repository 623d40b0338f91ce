"""Agents of launchd, from what a Mac's tools print and from property lists. Pure."""

from __future__ import annotations

import ipaddress
import plistlib
import shlex
from typing import Any, Iterator, Mapping
from xml.parsers.expat import ExpatError

AGENTS = "Library/LaunchAgents"


def parse_list(text: str) -> dict[str, int]:
    """The labels of `launchctl list` with their processes; 0 for what is loaded and does not run."""
    rows = (line.split("\t") for line in text.splitlines()[1:])
    return {row[2]: int(row[0]) if row[0].isdigit() else 0 for row in rows if len(row) == 3}


def parse_agent(text: str) -> dict[str, Any]:
    """A property list in XML; empty where it is none."""
    try:
        found = plistlib.loads(text.encode())
    except (ValueError, LookupError, ExpatError):
        return {}
    return dict(found) if isinstance(found, dict) else {}


def environment(agent: Mapping[str, Any]) -> dict[str, str]:
    """The variables that an agent is given."""
    return {str(name): str(value) for name, value in (agent.get("EnvironmentVariables") or {}).items()}


def as_service(process: int, agent: Mapping[str, Any]) -> dict[str, str]:
    """An agent in the words in which systemd describes a service, so that one reader serves both."""
    return {
        "ActiveState": "active" if process else "inactive",
        "UnitFileState": "enabled" if agent.get("RunAtLoad") or agent.get("KeepAlive") else "disabled",
        "MainPID": str(process),
        "ExecStart": " ".join(map(str, agent.get("ProgramArguments") or ())),
        "Environment": shlex.join(f"{name}={value}" for name, value in environment(agent).items()),
    }


def parse_lsof(text: str) -> Iterator[tuple[str, int]]:
    """Address and port of each listener in the output of `lsof -Fn`; `*` is every address."""
    for line in text.splitlines():
        address, _, port = line[1:].rpartition(":")
        if line.startswith("n") and port.isdigit():
            # lsof tells one socket for both families as `*`, too.
            bare = "0.0.0.0" if address == "*" else address.strip("[]").partition("%")[0]  # noqa: S104
            yield str(ipaddress.ip_address(bare)), int(port)


def parse_ps(text: str) -> tuple[dict[str, str], dict[str, int]]:
    """Of each process its parent and its resident bytes, from `ps -axo pid=,ppid=,rss=`."""
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1] for row in rows}, {row[0]: int(row[2]) * 1024 for row in rows}
