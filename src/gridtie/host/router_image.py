"""Runs the project's Python from the router's image, in a container of its own, for what a host's bare one cannot.

It has no network and no capability, can write nothing but its own memory, and runs as the router's user, who may read
the ledger.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Sequence

from gridtie.host.command import Ran, run_command
from gridtie.host.paths import StationError

_LIMITS = ("--memory=2g", "--memory-swap=2g", "--pids-limit=64", "--ulimit=core=0")
_SHUT = ("--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true")
_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Mount:
    """A file or directory of the host, and where the container sees it; read-only."""

    source: Path
    target: Path


class RouterImage:
    """The image of the station that `station`, the content of station.json, describes."""

    def __init__(self, station: Mapping[str, Any]) -> None:
        expected = station.get("expected", {})
        host = expected.get("docker_host")
        self._docker = ["docker", *(["--host", host] if host else [])]
        self._container = str(expected.get("router_container", ""))

    def run(self, words: Sequence[str], mounts: Sequence[Mount], stdin: str = "") -> Ran:
        """`python3 WORDS` in a new container, which is gone afterwards. Raises `StationError`."""
        image, user = self._image_and_user()
        argv = [*self._docker, "run", "--rm", "--interactive", *_SHUT, *_LIMITS, "--tmpfs=/tmp:size=1g,mode=1777"]
        argv += [
            f"--user={user}",
            "--env=HOME=/tmp",
            "--env=PYTHONUTF8=1",
            *_mounted(mounts),
            "--entrypoint=python3",
            image,
            *words,
        ]
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, encoding="utf-8", timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise StationError(
                f"the container gave no answer within {_TIMEOUT_S:g} s; ask for a shorter period"
            ) from None
        # Docker's own statuses: it could not run the container, or not the command.
        if done.returncode in (125, 126, 127):
            raise StationError(f"no container of the router's image can be run: {done.stderr.strip()[:300]}")
        return Ran(done.returncode, done.stdout, done.stderr)

    def _image_and_user(self) -> List[str]:
        form = "{{.Image}} {{.Config.User}}"
        ran = run_command([*self._docker, "inspect", "--type", "container", "--format", form, self._container])
        found = ran.out.split()
        if ran.status != 0 or len(found) != 2:
            raise StationError(
                f"the router's container {self._container} is not there, or this user may not ask Docker for it: "
                f"{ran.err.strip()[:200] or 'no answer'}; run it with sudo, or run `make site`"
            )
        return found


def _mounted(mounts: Sequence[Mount]) -> List[str]:
    return [f"--mount=type=bind,source={each.source.absolute()},target={each.target},readonly" for each in mounts]
