"""Services of this machine, by systemd: what they are, and which of them is an Ollama that somebody else installed."""

from __future__ import annotations

import json
import pwd
import re
import shlex
import urllib.request
from typing import Any, Iterable

from .gridtie_docker import run
from .gridtie_machine import read_text
from .gridtie_ports import process_on

_ASK_S = 3.0


def show(unit: str, properties: Iterable[str]) -> dict[str, str]:
    """Properties of a unit as `systemctl show` prints them; empty where systemd does not answer."""
    status, output, _ = run(["systemctl", "show", unit, f"--property={','.join(properties)}"])
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line) if status == 0 else {}


def unit_of(cgroups: str) -> str:
    """The system's service that a process belongs to, from its /proc/PID/cgroup; empty for a person's own programs."""
    found = re.search(r"/system\.slice/(?:[^/\s]+\.slice/)*([^/\s]+\.service)$", cgroups, re.MULTILINE)
    return found[1] if found else ""


def environment(text: str) -> dict[str, str]:
    """The property Environment: assignments, quoted where they need it."""
    return dict(word.split("=", 1) for word in shlex.split(text) if "=" in word)


def store_of(variables: dict[str, str], home: str) -> str:
    """Where an Ollama keeps its models (envconfig.Models of its source)."""
    return variables.get("OLLAMA_MODELS") or f"{variables.get('HOME') or home}/.ollama/models"


def engine_unit(project: str) -> str:
    """The unit of a station's own native engine."""
    return f"{project}-engine.service"


def unit_on(port: int) -> str:
    """The system's service that listens on the port; empty where none does."""
    process = process_on(port)
    return unit_of(read_text(f"/proc/{process}/cgroup")) if process else ""


def find_ollama(port: Any, project: str) -> dict[str, Any]:
    """Who listens on Ollama's port: ``ollama``, a service of somebody else's (``unit``, ``url``, ``version``, ``user``,
    ``store``, ``exposed``), or ``own_ollama``, whether it is a program that a person runs by hand.

    Neither where nobody listens, the station's own engine does, or it is something else.
    """
    nothing: dict[str, Any] = {"ollama": {}, "own_ollama": False}
    if not str(port).isdigit():
        return nothing
    unit = unit_on(int(port))
    version = told_version(f"http://127.0.0.1:{port}") if unit != engine_unit(project) else ""
    if not version:
        return nothing
    if not unit:
        return {**nothing, "own_ollama": True}
    told = show(unit, ("User", "Environment"))
    variables = environment(told.get("Environment", ""))
    user = told.get("User") or "root"
    ollama = {
        "unit": unit,
        "url": f"http://127.0.0.1:{port}",
        "version": version,
        "user": user,
        "store": store_of(variables, _home(user)),
        "exposed": not variables.get("OLLAMA_HOST", "127.0.0.1").startswith(("127.", "localhost", "http://127.")),
    }
    return {**nothing, "ollama": ollama}


def _home(user: str) -> str:
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return "/root"


def told_version(url: str) -> str:
    """What an Ollama at this address says that it is; empty where something else listens."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/api/version", timeout=_ASK_S) as answer:
            return str(json.loads(answer.read(4096))["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def running_environment(unit: str) -> dict[str, str]:
    """The variables that a service's main process was started with; empty where it does not run."""
    process = show(unit, ("MainPID",)).get("MainPID", "0")
    text = read_text(f"/proc/{process}/environ") if process != "0" else ""
    return dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)


def journal(unit: str, lines: int = 40) -> str:
    """The end of a service's log."""
    return run(["journalctl", "--no-pager", "--output=cat", "--unit", unit, f"--lines={lines}"])[1]
