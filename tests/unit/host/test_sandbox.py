"""What the sandbox asks of Docker, and what it says where it cannot have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridtie.host.sandbox import Limits, Sandbox, SandboxUnavailable, find


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` command that does what a test writes into it, first and alone with the basic tools on PATH."""
    command = tmp_path / "bin" / "docker"
    command.parent.mkdir()
    monkeypatch.setenv("PATH", f"{command.parent}:/usr/bin:/bin")
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return command


def _write(command: Path, body: str) -> None:
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)


@pytest.mark.parametrize(
    "words",
    [
        ["--network", "none"],
        ["--read-only"],
        ["--cap-drop", "ALL"],
        ["--security-opt", "no-new-privileges"],
        ["--user", "65534:65534"],
        ["--memory", "64m"],
        ["--memory-swap", "64m"],
        ["--pids-limit", "8"],
        ["--pull", "never"],
        ["--rm"],
    ],
)
def test_every_container_is_hardened(words: list[str]) -> None:
    """No network, no writes, no capabilities, no privileges, and limits on memory and processes."""
    arguments = Sandbox("image", limits=Limits(memory_mb=64, processes=8)).arguments("name", "pass")
    options = arguments[: arguments.index("image")]

    assert [n for n in range(len(options)) if options[n : n + len(words)] == words]


def test_the_container_ends_by_itself_when_the_caller_is_gone() -> None:
    """Its first process is a clock that the program in it cannot kill."""
    arguments = Sandbox("image", limits=Limits(seconds=5)).arguments("name", "pass")

    assert arguments[arguments.index("--entrypoint") + 1] == "timeout"
    assert arguments[arguments.index("image") + 1 :][:3] == ["-s", "KILL", "6"]


def test_an_ordinary_user_is_told_the_sudo_command(docker: Path) -> None:
    """The reason, why nobody is put into the docker group, and what to type."""
    _write(docker, "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1")

    with pytest.raises(SandboxUnavailable, match=r"your user may not talk to Docker.*sudo python demo_final\.py"):
        find(retry_with="python demo_final.py")


def test_a_daemon_that_is_down_is_told_from_a_missing_permission(docker: Path) -> None:
    """Starting the service is the advice then."""
    _write(docker, "echo 'Cannot connect to the Docker daemon' >&2; exit 1")

    with pytest.raises(SandboxUnavailable, match=r"Docker does not answer.*Start it"):
        find()


def test_a_machine_without_docker_is_told_to_provision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No docker command at all."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SandboxUnavailable, match=r"`docker` command is not here.*make site"):
        find()


def test_a_machine_without_the_stations_images_is_told_to_provision(docker: Path) -> None:
    """Docker is there, the station is not."""
    _write(docker, 'case "$1 $2" in "version --format") echo 28;; "inspect --type") exit 1;; esac')

    with pytest.raises(SandboxUnavailable, match="neither gridtie/router nor gridtie/base"):
        find()


def test_the_running_routers_image_is_used_on_the_stations_own_docker(docker: Path, tmp_path: Path) -> None:
    """Project and socket come from what the station wrote about itself."""
    facts = {"project": "p", "expected": {"router_container": "p-router-1", "docker_host": "unix:///p.sock"}}
    (tmp_path / "station.json").write_text(json.dumps(facts))
    _write(
        docker,
        '[ "$DOCKER_HOST" = unix:///p.sock ] || exit 1\n'
        'case "$*" in version*) echo 28;; *p-router-1) echo sha256:1;; "image inspect"*sha256:1) echo ok;; esac',
    )

    assert find(tmp_path).image == "sha256:1"


def test_an_image_that_is_not_here_is_not_fetched(docker: Path) -> None:
    """A sandbox downloads nothing."""
    _write(docker, 'case "$1" in version) echo 28;; image) exit 1;; esac')

    with pytest.raises(SandboxUnavailable, match="'missing:1' is not on this machine"):
        find(image="missing:1")


def test_a_container_that_does_not_start_is_an_error_and_not_a_result(docker: Path) -> None:
    """Docker's own exit codes are never taken for the program's."""
    _write(docker, "echo 'no such image' >&2; exit 125")

    with pytest.raises(SandboxUnavailable, match="did not start: no such image"):
        Sandbox("image").run("pass")


def test_a_program_that_never_ends_is_stopped_and_its_container_removed(docker: Path, tmp_path: Path) -> None:
    """On time-out the container is removed by name, and what it printed so far is kept."""
    log = tmp_path / "log"
    _write(
        docker,
        f'if [ "$1" = rm ]; then echo "$@" >> {log}; kill $(cat {tmp_path}/pid); exit 0; fi\n'
        f"echo $$ > {tmp_path}/pid; echo started; exec sleep 60",
    )
    execution = Sandbox("image", limits=Limits(seconds=2)).run("pass")

    assert (execution.ending, execution.stdout) == ("timed out", "started\n")
    assert log.read_text().startswith("rm --force gridtie-sandbox-")


def test_output_beyond_the_limit_ends_the_program(docker: Path, tmp_path: Path) -> None:
    """A flood is cut at the limit and not held in memory."""
    _write(
        docker,
        f'if [ "$1" = rm ]; then kill $(cat {tmp_path}/pid); exit 0; fi\necho $$ > {tmp_path}/pid; exec yes',
    )
    execution = Sandbox("image", limits=Limits(output_bytes=1000)).run("pass")

    assert (execution.ending, len(execution.stdout)) == ("too much output", 1000)
