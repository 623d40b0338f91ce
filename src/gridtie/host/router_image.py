"""Runs the project's Python from the router's image, in a container of its own, for what a host's bare one cannot.

It has no capability and can write nothing of the image. What only reads (`run`) has no network and runs as the router's
user, who may read the ledger. What asks the router (`attend`) is on the router's network, where engines can be reached,
and runs as whoever called, so that its files are theirs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, List, Mapping, Optional, Sequence

from gridtie.host.command import Ran, docker_at, run_command
from gridtie.host.paths import StationError
from gridtie.host.sandbox_link import SEPARATOR, Answer

_LIMITS = ("--memory=2g", "--memory-swap=2g", "--pids-limit=64", "--ulimit=core=0")
_SHUT = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true")
_TIMEOUT_S = 900.0
# Where the container may write beside the caller's directories; a caller's may be /tmp.
_SCRATCH = "/run/gridtie-scratch"


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
        self._docker = docker_at(expected.get("docker_host"))
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

    def attend(
        self,
        words: Sequence[str],
        mounts: Sequence[Mount],
        environ: Mapping[str, str],
        directory: Path,
        answer: Optional[Answer] = None,
    ) -> int:
        """`python3 WORDS` in a new container that says what it says here; gives its exit status.

        Values of `environ` appear on no command line. `answer` is asked what it cannot do itself (see `sandbox_link`).
        Raises `StationError`.
        """
        image, user = self._image_and_user()
        argv = [*self._docker, "run", "--rm", f"--network=container:{self._container}", *_SHUT, *_LIMITS]
        # Its own group lets it read the configuration, as the router does.
        argv += [f"--user={self._caller()}", f"--group-add={user.partition(':')[2] or '0'}", f"--workdir={directory}"]
        argv += [f"--tmpfs={_SCRATCH}:size=256m,mode=1777", f"--env=TMPDIR={_SCRATCH}"]
        argv += ["--env=HOME=/", *(["--interactive"] if answer else []), *(f"--env={name}" for name in environ)]
        argv += [*_mounted(mounts), "--entrypoint=python3", image, *words]
        status = (
            _conversed(argv, {**os.environ, **environ}, answer)
            if answer
            else _attended(argv, {**os.environ, **environ})
        )
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


def _attended(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    with subprocess.Popen(argv, env=environ) as process:
        return _ended(process)


def _conversed(argv: Sequence[str], environ: Mapping[str, str], answer: Answer) -> int:
    """The same, for a program that asks between its words."""
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=environ, stdin=pipe, stdout=pipe, encoding="utf-8", errors="replace") as process:
        said, told = process.stdout, process.stdin
        while line := _line(said):
            if not line.startswith(SEPARATOR):
                sys.stdout.write(line)
                sys.stdout.flush()
                continue
            # Whoever asked may be gone, or interrupted: its exit status tells.
            with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
                reply = answer(line[len(SEPARATOR) :])
                if told is not None:
                    told.write(reply + "\n")
                    told.flush()
        return _ended(process)


def _line(stream: Optional[IO[str]]) -> str:
    """The next line; "" at the end."""
    try:
        return stream.readline() if stream is not None else ""
    except KeyboardInterrupt:
        return _line(stream)


def _ended(process: "subprocess.Popen[Any]") -> int:
    """The exit status. Ctrl-C reaches Docker as well, which hands it on: the container ends in good order."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        return _ended(process)


def _mounted(mounts: Sequence[Mount]) -> List[str]:
    return [
        f"--mount=type=bind,source={each.source.absolute()},target={each.target}"
        + ("" if each.writable else ",readonly")
        for each in mounts
    ]
