"""Runs the project's Python from the router's image, in a container of its own, for what a host's bare one cannot.

It has no capability and can write nothing of the image. What only reads (`run`) has no network and runs as the router's
user, who may read the ledger. What asks the router (`attend`) is on the router's network, where engines can be reached,
and runs as whoever called, so that its files are theirs.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Sequence

from gridtie.host.command import Ran, run_command
from gridtie.host.paths import StationError

_LIMITS = ("--memory=2g", "--memory-swap=2g", "--pids-limit=64", "--ulimit=core=0")
_SHUT = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true")
_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Mount:
    """A file or directory of the host, and where the container sees it; read-only unless it says otherwise."""

    source: Path
    target: Path
    writable: bool = False


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
        argv = [
            *self._docker,
            "run",
            "--rm",
            "--interactive",
            "--network=none",
            *_SHUT,
            *_LIMITS,
            "--tmpfs=/tmp:size=1g,mode=1777",
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

    def attend(self, words: Sequence[str], mounts: Sequence[Mount], environ: Mapping[str, str], directory: Path) -> int:
        """`python3 WORDS` in a new container that says what it says here; gives its exit status.

        Values of `environ` appear on no command line. Raises `StationError`.
        """
        image, user = self._image_and_user()
        argv = [*self._docker, "run", "--rm", f"--network=container:{self._container}", *_SHUT, *_LIMITS]
        # Its own group lets it read the configuration, as the router does.
        argv += [f"--user={self._caller()}", f"--group-add={user.partition(':')[2] or '0'}", f"--workdir={directory}"]
        argv += ["--env=HOME=/", *(f"--env={name}" for name in environ)]
        argv += [*_mounted(mounts), "--entrypoint=python3", image, *words]
        with subprocess.Popen(argv, env={**os.environ, **environ}) as process:
            status = _attended(process)
        if status in (125, 126, 127):
            raise StationError("no container of the router's image can be run; what Docker says stands above")
        return status

    def _caller(self) -> str:
        """Who asked, also by sudo. A rootless Docker's root is that person, and its other numbers are nobody's."""
        ran = run_command([*self._docker, "info", "--format", "{{.SecurityOptions}}"])
        if "rootless" in ran.out:
            return "0:0"
        return f"{os.environ.get('SUDO_UID') or os.getuid()}:{os.environ.get('SUDO_GID') or os.getgid()}"

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


def _attended(process: "subprocess.Popen[bytes]") -> int:
    """The exit status. Ctrl-C reaches Docker as well, which hands it on: the container ends in good order."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        return _attended(process)


def _mounted(mounts: Sequence[Mount]) -> List[str]:
    return [
        f"--mount=type=bind,source={each.source.absolute()},target={each.target}"
        + ("" if each.writable else ",readonly")
        for each in mounts
    ]
