"""Runs code that a language model wrote, in a container that is thrown away afterwards.

Every execution gets a container of its own: what one run leaves behind (a file, a process, a patched module) cannot
reach the next. The container has no network, a read-only root, no capabilities, an unprivileged user, and limits on
time, memory, processes and output. Its clock is its own first process, so it ends by itself even when the caller is
killed with SIGKILL.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Mapping, Optional, Sequence

Ending = Literal["finished", "timed out", "too much output", "killed"]

# `docker run` reserves these three for its own failures: daemon error, command not executable, command not found.
_DOCKER_FAILED = (125, 126, 127)
_SIGKILL_EXIT = 137
# How long the Docker client may take for anything but running the program: start-up, kill, inspection.
_CLIENT_SECONDS = 30.0
_NOBODY = "65534:65534"


class SandboxUnavailable(Exception):
    """No sandbox can be had here. The text says what is missing and what to do about it."""


@dataclass(frozen=True)
class Limits:
    """What one execution may use. `seconds` is wall-clock time from the start of the container."""

    seconds: float = 15.0
    memory_mb: int = 256
    processes: int = 32
    output_bytes: int = 256 * 1024


@dataclass(frozen=True)
class Execution:
    """What came out: the program's standard output (cut at the limit) and how it ended."""

    stdout: str
    ending: Ending
    exit_code: Optional[int]


@dataclass(frozen=True)
class Sandbox:
    """A way to run Python programs in throwaway containers of `image` (an image ID or name that is present locally)."""

    image: str
    docker: str = "docker"
    environment: Optional[Mapping[str, str]] = None
    limits: Limits = Limits()

    def arguments(self, name: str, program: str) -> list[str]:
        """The whole `docker run` command line for one execution."""
        limits = self.limits
        return [
            self.docker, "run", "--rm", "--interactive", "--name", name, "--label", f"gridtie.sandbox={os.getpid()}",
            "--pull", "never", "--network", "none", "--read-only", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--user", _NOBODY, "--ipc", "none", "--hostname", "sandbox",
            "--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=16m", "--workdir", "/tmp",  # noqa: S108 - inside the container
            "--memory", f"{limits.memory_mb}m", "--memory-swap", f"{limits.memory_mb}m",
            "--pids-limit", str(limits.processes), "--cpus", "1", "--ulimit", "core=0", "--ulimit", "nofile=64",
            "--log-driver", "none", "--env", "PYTHONDONTWRITEBYTECODE=1", "--entrypoint", "timeout", self.image,
            # One second more than the caller's own clock: this one matters only when the caller is gone.
            "-s", "KILL", f"{limits.seconds + 1:g}", "python3", "-I", "-c", program,
        ]  # fmt: skip

    def run(self, program: str, stdin: str = "") -> Execution:
        """Run `program` (Python source) with `stdin`, and return what it printed. Never raises for what it does.

        Raises SandboxUnavailable when the container itself cannot be started.
        """
        name = f"gridtie-sandbox-{secrets.token_hex(6)}"
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as complaints:
            given.write(stdin.encode())
            given.seek(0)
            process = subprocess.Popen(
                self.arguments(name, program),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=self._env(),
                # Ctrl-C goes to this process only, which then removes the container in good order.
                start_new_session=True,
            )
            collector = _Collector(process.stdout, self.limits.output_bytes)
            try:
                ending = self._attend(process, collector)
            finally:
                if process.poll() is None:
                    # The client first: while it holds output that nobody reads, the daemon cannot end the container.
                    process.kill()
                    process.wait()
                    self._remove(name)
                collector.close()
            code = process.returncode
            if ending == "finished" and code in _DOCKER_FAILED:
                raise SandboxUnavailable(f"The sandbox container did not start: {_tail(complaints)}")
        if ending == "finished" and code == _SIGKILL_EXIT:
            ending = "killed"
        return Execution(collector.text(), ending, code if ending == "finished" else None)

    def _attend(self, process: subprocess.Popen[bytes], collector: _Collector) -> Ending:
        """Wait for the program's end, up to the limits of time and output."""
        collector.start()
        collector.join(self.limits.seconds)
        if collector.overflowed:
            return "too much output"
        if collector.is_alive():
            return "timed out"
        try:
            process.wait(timeout=_CLIENT_SECONDS)
        except subprocess.TimeoutExpired:
            return "timed out"
        return "finished"

    def _env(self) -> Optional[dict[str, str]]:
        return dict(self.environment) if self.environment is not None else None

    def _remove(self, name: str) -> None:
        """Kill and remove the container. It may just be ending by itself, so a refusal is not an error."""
        subprocess.run(
            [self.docker, "rm", "--force", name],
            capture_output=True,
            check=False,
            timeout=_CLIENT_SECONDS,
            env=self._env(),
            start_new_session=True,
        )


class _Collector(threading.Thread):
    """Reads a process's output until its end or the limit; what lies beyond the limit is never held in memory."""

    def __init__(self, stream: Optional[IO[bytes]], limit: int) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._limit = limit
        self._held = bytearray()
        self.overflowed = False

    def run(self) -> None:
        if self._stream is None:
            return
        while chunk := os.read(self._stream.fileno(), 65536):
            room = self._limit - len(self._held)
            self._held += chunk[:room]
            if len(chunk) > room:
                self.overflowed = True
                return

    def close(self) -> None:
        """Give the stream back; the process has ended by now, so the reader has, or is about to."""
        if self.ident is not None:
            self.join(_CLIENT_SECONDS)
        if self._stream is not None and not self.is_alive():
            self._stream.close()

    def text(self) -> str:
        return bytes(self._held).decode("utf-8", "replace")


def _tail(stream: IO[bytes], size: int = 600) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace").strip()[-size:]


def find(
    config_dir: Path = Path("/etc/gridtie"),
    image: Optional[str] = None,
    limits: Optional[Limits] = None,
    retry_with: str = "",
) -> Sandbox:
    """The sandbox of this station: Docker as the station uses it, and the station's own image, which has Python.

    `image` overrides the choice. `retry_with` is the command that an ordinary user is told to run with sudo.
    Raises SandboxUnavailable, before anything is started, with what is missing and what to do.
    """
    if shutil.which("docker") is None:
        raise SandboxUnavailable(
            "Code that a model wrote runs only in a throwaway container, and the `docker` command is not here. "
            "Provision the station first: make site"
        )
    station = _station(config_dir)
    environment = dict(os.environ)
    if "DOCKER_HOST" not in environment and station.docker_host:
        environment["DOCKER_HOST"] = station.docker_host
    _require_daemon(environment, retry_with)
    chosen = image or _choose_image(environment, station)
    if not _output(environment, "image", "inspect", "--format", "{{.Id}}", chosen):
        raise SandboxUnavailable(
            f"The sandbox image {chosen!r} is not on this machine, and nothing is fetched for a sandbox. "
            "Name one that is there (`docker image ls`), or provision the station: make site"
        )
    return Sandbox(chosen, environment=environment, limits=limits or Limits())


@dataclass(frozen=True)
class _Station:
    project: str
    router_container: str
    docker_host: str


def _station(config_dir: Path) -> _Station:
    """What the station wrote about itself; an ordinary user may not be allowed to read it, so names have defaults."""
    try:
        facts = json.loads((config_dir / "station.json").read_text())
    except (OSError, ValueError):
        facts = {}
    expected = facts.get("expected", {})
    project = facts.get("project", "gridtie")
    return _Station(project, expected.get("router_container", f"{project}-router-1"), expected.get("docker_host", ""))


def _require_daemon(environment: Mapping[str, str], retry_with: str) -> None:
    try:
        answer = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_CLIENT_SECONDS,
            env=dict(environment),
        )
    except subprocess.TimeoutExpired:
        raise SandboxUnavailable(
            f"Docker did not answer within {_CLIENT_SECONDS:g} s. See whether its service runs: docker info"
        ) from None
    if answer.returncode == 0:
        return
    said = answer.stderr.strip().splitlines()[-1] if answer.stderr.strip() else "no reason given"
    if "permission denied" in said.lower():
        raise SandboxUnavailable(
            "Code that a model wrote runs only in a throwaway container, and your user may not talk to Docker. "
            "Nobody is put into the docker group, because that group is root by another name. "
            f"Run it with sudo: sudo {retry_with}".rstrip()
        )
    raise SandboxUnavailable(
        f"Code that a model wrote runs only in a throwaway container, and Docker does not answer ({said}). "
        "Start it (`sudo systemctl start docker`, or `sudo service docker start` without systemd), or run: make site"
    )


def _choose_image(environment: Mapping[str, str], station: _Station) -> str:
    """The image of the running router, else the newest router image, else the base image."""
    running = _output(environment, "inspect", "--type", "container", "--format", "{{.Image}}", station.router_container)
    if running:
        return running
    for repository in (f"{station.project}/router", f"{station.project}/base"):
        listed = _output(environment, "image", "ls", "--quiet", "--no-trunc", repository)
        if listed:
            return listed.splitlines()[0]
    raise SandboxUnavailable(
        f"Code that a model wrote runs only in a throwaway container of the station's own image, and neither "
        f"{station.project}/router nor {station.project}/base is on this machine. Provision the station: make site"
    )


def _output(environment: Mapping[str, str], *arguments: str) -> str:
    """What a Docker query printed; nothing where it failed or hung."""
    return _quiet(["docker", *arguments], environment)


def _quiet(command: Sequence[str], environment: Mapping[str, str]) -> str:
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_CLIENT_SECONDS, env=dict(environment)
        )
    except subprocess.TimeoutExpired:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
