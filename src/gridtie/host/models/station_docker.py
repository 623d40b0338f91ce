"""The Docker that runs a station, and the engine as the router's container reaches it.

An engine in a container publishes no port; the router's container sits on its network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, List, Mapping, Protocol, Sequence

from ..command import Ran, docker_at

# Runs inside the router's container, which has Python: one JSON line per URL.
_HOP = """
import json, sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for url in sys.argv[1:]:
    try:
        with opener.open(url, timeout=5) as answer:
            print(json.dumps([url, answer.status, answer.read(65536).decode("utf-8", "replace")]))
    except Exception as error:
        print(json.dumps([url, 0, str(error)]))
"""


class CannotRun(Exception):
    """No command can be run in the router's container; the message says which container, and what Docker said."""


class Run(Protocol):
    """Runs a program of the system."""

    def __call__(self, argv: Sequence[str], timeout: float = ...) -> Ran: ...


@dataclass(frozen=True)
class Hop:
    """What the router's container got from one URL of the engine; status 0: nothing, and `body` is the cause."""

    url: str
    status: int
    body: str


class StationDocker:
    """The Docker of the station that `station`, the content of station.json, describes."""

    def __init__(self, station: Mapping[str, Any], run: Run) -> None:
        self._station = station
        self._run = run

    def argv(self, *words: str) -> List[str]:
        """A docker command against the daemon that runs the station."""
        return [*docker_at(self._station.get("expected", {}).get("docker_host")), *words]

    def command(self, *words: str, timeout: float = 10.0) -> Ran:
        """Run one."""
        return self._run(self.argv(*words), timeout=timeout)

    def info(self) -> dict[str, Any]:
        """What the daemon says of itself (`docker info`); empty where it does not answer."""
        ran = self.command("info", "--format", "{{json .}}")
        return dict(json.loads(ran.out)) if ran.status == 0 else {}

    def from_router(self, urls: Sequence[str]) -> list[Hop]:
        """GET each URL from inside the router's container. Raises `CannotRun`."""
        container = str(self._station["expected"]["router_container"])
        command = ("exec", container, "python3", "-I", "-c", _HOP, *urls)
        ran = self.command(*command, timeout=30.0)
        if ran.status != 0 and not ran.err.strip():
            # Docker says why it cannot run a command. Without a word the command was ended from outside, as was seen on
            # a busy machine, and the next one runs.
            ran = self.command(*command, timeout=30.0)
        if ran.status != 0:
            said = ran.err.strip()[:200] or f"exit status {ran.status}"
            raise CannotRun(f"no command can be run in {container}: {said}")
        return [Hop(*json.loads(line)) for line in ran.out.splitlines()]
