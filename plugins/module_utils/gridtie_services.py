"""Services of this machine, by systemd: what they are, and which of them is an Ollama that somebody else installed."""

from __future__ import annotations

import json
import pwd
import re
import time
import urllib.request
from typing import Any, Callable, Iterable

from .gridtie_docker import run
from .gridtie_host.paths import is_loopback
from .gridtie_machine import read_text
from .gridtie_ports import process_on

# The variable that marks a station's own native engine: what its configuration comes to.
STAMP = "GRIDTIE_STAMP"
_ASK_S = 3.0
_PAUSE_S = 0.3


class ServiceError(Exception):
    """A service does not do what it should; ``output`` is the end of its log."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


def show(unit: str, properties: Iterable[str]) -> dict[str, str]:
    """Properties of a unit as `systemctl show` prints them; empty where systemd does not answer."""
    status, output, _ = run(["systemctl", "show", unit, f"--property={','.join(properties)}"])
    return dict(line.split("=", 1) for line in output.splitlines() if "=" in line) if status == 0 else {}


def unit_of(cgroups: str) -> str:
    """The system's service that a process belongs to, from its /proc/PID/cgroup; empty for a person's own programs."""
    found = re.search(r"/system\.slice/(?:[^/\s]+\.slice/)*([^/\s]+\.service)$", cgroups, re.MULTILINE)
    return found[1] if found else ""


def variables(text: str) -> dict[str, str]:
    """The environment of a process, from its /proc/PID/environ."""
    return dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)


def store_of(environment: dict[str, str], home: str) -> str:
    """Where an Ollama keeps its models (envconfig.Models of its source)."""
    return environment.get("OLLAMA_MODELS") or f"{environment.get('HOME') or home}/.ollama/models"


def is_exposed(host: str) -> bool:
    """Whether an OLLAMA_HOST lets other machines in (envconfig.Host of its source); without one they are not."""
    place = host.strip(" \"'").rpartition("://")[2].partition("/")[0]
    if not place:
        return False
    bare = place.count(":") > 1 and not place.startswith("[")
    name = place if bare else place.rpartition(":")[0] if re.search(r":\d*$", place) else place
    return not is_loopback(name.strip("[]"))


def engine_unit(project: str) -> str:
    """The unit of a station's own native engine."""
    return f"{project}-engine.service"


def unit_on(port: int) -> str:
    """The system's service that listens on the port; empty where none does."""
    return _unit_of_process(process_on(port))


def _unit_of_process(process: int) -> str:
    return unit_of(read_text(f"/proc/{process}/cgroup")) if process else ""


def find_ollama(port: Any, project: str) -> dict[str, Any]:
    """Who listens on Ollama's port: ``ollama``, a service of somebody else's (``unit``, ``url``, ``version``, ``user``,
    ``store``, ``exposed``), or ``own_ollama``, whether it is one that cannot be adopted: a program that a person runs
    by hand, a container, the engine of another station.

    Neither where nobody listens, the station's own engine does, or it is something else.
    """
    nothing: dict[str, Any] = {"ollama": {}, "own_ollama": False}
    if not str(port).isdigit():
        return nothing
    process = process_on(int(port))
    unit = _unit_of_process(process)
    version = told_version(f"http://127.0.0.1:{port}") if unit != engine_unit(project) else ""
    if not version:
        return nothing
    told = show(unit, ("User", "MainPID")) if unit else {}
    # Docker's service listens for its containers, by a child of its main process.
    environment = variables(read_text(f"/proc/{process}/environ")) if told.get("MainPID") == str(process) else {}
    if not environment or STAMP in environment:
        return {**nothing, "own_ollama": True}
    user = told.get("User") or "root"
    ollama = {
        "unit": unit,
        "url": f"http://127.0.0.1:{port}",
        "version": version,
        "user": user,
        # What it was started with, whether its unit says so or a file that the unit names.
        "store": store_of(environment, _home(user)),
        "exposed": is_exposed(environment.get("OLLAMA_HOST", "")),
    }
    return {**nothing, "ollama": ollama}


def silent(engine: dict[str, Any], found: dict[str, Any]) -> str:
    """The unit of the service that a station adopted (``engine`` of its station.json) where it is installed and is not
    what ``find_ollama`` found; else empty.
    """
    if not engine.get("adopted") or found:
        return ""
    unit = str(engine["unit"])
    return unit if show(unit, ("LoadState",)).get("LoadState") == "loaded" else ""


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
    return variables(read_text(f"/proc/{process}/environ")) if process != "0" else {}


def journal(unit: str, lines: int = 40) -> str:
    """The end of a service's log."""
    return run(["journalctl", "--no-pager", "--output=cat", "--unit", unit, f"--lines={lines}"])[1]


def wait_for_version(
    name: str,
    url: str,
    version: str,
    limit_s: float,
    *,
    log: Callable[[], str],
    where: str,
    over: Callable[[], bool] = lambda: False,
) -> None:
    """Return once the Ollama of the service ``name`` answers at ``url`` as that version.

    Raises ServiceError with the end of its ``log`` after ``limit_s`` seconds, or as soon as it is ``over``: the service
    has failed for good. ``where`` tells a person where the log is.
    """
    deadline, found = time.monotonic() + limit_s, ""
    while True:
        found = told_version(url) or found
        if found == version:
            return
        if over() or time.monotonic() > deadline:
            said = f"says that it is {found}" if found else "does not answer"
            raise ServiceError(f"{name} {said} at {url}; wanted {version}; {where}", log())
        time.sleep(_PAUSE_S)
