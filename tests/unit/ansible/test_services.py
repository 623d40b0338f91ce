"""Which service of systemd a process belongs to, and which Ollama was here before."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plugins.module_utils import gridtie_ports
from plugins.module_utils import gridtie_services as services

PURE_V2 = "0::/system.slice/ollama.service\n"
PURE_V1 = (
    "12:pids:/system.slice/ollama.service\n"
    "11:cpuset:/\n"
    "10:memory:/system.slice/ollama.service\n"
    "1:name=systemd:/system.slice/ollama.service\n"
    "0::/system.slice/ollama.service\n"
)
# As a process in a container with systemd of its own sees itself where cgroup v1 has no namespaces.
NESTED_V1 = (
    "9:memory:/docker/4f1c/system.slice/ollama.service\n1:name=systemd:/docker/4f1c/system.slice/ollama.service\n"
)
TEMPLATED = "0::/system.slice/system-ollama.slice/ollama@gpu.service\n"
OF_A_USER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/ollama.service\n"
TYPED = "0::/user.slice/user-1000.slice/session-3.scope\n"
DOCKER_SYSTEMD = "0::/system.slice/docker-4f1c.scope\n"
DOCKER_CGROUPFS = "9:memory:/docker/4f1c\n1:name=systemd:/docker/4f1c\n"
PODMAN = "0::/machine.slice/libpod-77aa.scope/container\n"
BELOW_A_SERVICE = "0::/system.slice/ollama.service/runner\n"


@pytest.mark.parametrize(
    ("cgroups", "unit"),
    [
        pytest.param(PURE_V2, "ollama.service", id="cgroup v2"),
        pytest.param(PURE_V1, "ollama.service", id="cgroup v1"),
        pytest.param(NESTED_V1, "ollama.service", id="in a container with systemd"),
        pytest.param(TEMPLATED, "ollama@gpu.service", id="an instance in a slice of its own"),
        pytest.param(OF_A_USER, "", id="a person's own service"),
        pytest.param(TYPED, "", id="typed into a shell"),
        pytest.param(DOCKER_SYSTEMD, "", id="a container, systemd's driver"),
        pytest.param(DOCKER_CGROUPFS, "", id="a container, Docker's own driver"),
        pytest.param(PODMAN, "", id="a container of podman"),
        pytest.param(BELOW_A_SERVICE, "", id="a group that a service made"),
        pytest.param("", "", id="a process that has ended"),
    ],
)
def test_a_processs_control_groups_name_the_service_it_belongs_to(cgroups: str, unit: str) -> None:
    assert services.unit_of(cgroups) == unit


def test_an_environment_is_read_as_the_kernel_shows_it() -> None:
    text = 'HOME=/usr/share/ollama\0OLLAMA_ORIGINS=http://a=b,"c d"\0EMPTY=\0broken\0'

    assert services.variables(text) == {"HOME": "/usr/share/ollama", "OLLAMA_ORIGINS": 'http://a=b,"c d"', "EMPTY": ""}


@pytest.mark.parametrize(
    ("environment", "store"),
    [
        ({}, "/usr/share/ollama/.ollama/models"),
        ({"HOME": "/var/lib/ollama"}, "/var/lib/ollama/.ollama/models"),
        ({"HOME": "/var/lib/ollama", "OLLAMA_MODELS": "/data/models"}, "/data/models"),
        ({"OLLAMA_MODELS": ""}, "/usr/share/ollama/.ollama/models"),
    ],
)
def test_models_are_looked_for_where_ollama_looks(environment: dict[str, str], store: str) -> None:
    assert services.store_of(environment, "/usr/share/ollama") == store


@pytest.mark.parametrize(
    ("host", "exposed"),
    [
        ("", False),
        ("127.0.0.1", False),
        ("127.0.0.1:11434", False),
        ("localhost:8080", False),
        ("http://localhost", False),
        ("[::1]:11434", False),
        ("::1", False),
        ('"127.0.0.1"', False),
        ("0.0.0.0", True),
        ("0.0.0.0:11434", True),
        ("http://0.0.0.0:80/", True),
        (":11434", True),
        ("[::]:11434", True),
        ("::", True),
        ("10.0.0.5", True),
        ("gpu-server:11434", True),
    ],
)
def test_whether_other_machines_are_let_in_is_read_as_ollama_reads_it(host: str, exposed: bool) -> None:
    assert services.is_exposed(host) is exposed


# -- a real process that answers as an Ollama does --------------------------------------------------------------------

# Answers /api/version as Ollama does, on a port that it prints.
_SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"version":"0.31.2"}' if self.path == "/api/version" else b"something else"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""

Started = tuple[int, int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts such a process with these variables; gives its port and its number."""
    started: list[subprocess.Popen[str]] = []

    def begin(server: str = _SERVER, **variables: str) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-c", server],
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], **variables},
        )
        started.append(process)
        assert process.stdout
        return int(process.stdout.readline()), process.pid

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def told_by_systemd(unit: str, answers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd, which these tests cannot have: every process belongs to `unit`, and this is what it says of it."""
    command = tmp_path / "systemctl"
    command.write_text(f"#!/bin/sh\ncat <<'.'\n{answers}\n.\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(services, "unit_of", lambda cgroups: unit)


def test_the_process_that_listens_on_a_port_is_found(start: Callable[..., Started]) -> None:
    port, process = start()

    assert gridtie_ports.process_on(port) == process
    assert gridtie_ports.holder(port).endswith(f"(pid {process})")


def test_nobody_listens_on_a_port_that_is_free() -> None:
    assert gridtie_ports.process_on(9) == 0


def test_a_program_that_a_person_runs_is_noticed_and_not_adopted(start: Callable[..., Started]) -> None:
    port, _ = start()

    assert services.find_ollama(port, "gridtie") == {"ollama": {}, "own_ollama": True}


def test_a_service_is_described_by_what_it_was_started_with(
    start: Callable[..., Started], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Variables of an EnvironmentFile are in no property of the unit.
    port, process = start(HOME="/nonexistent", OLLAMA_MODELS="/data/models", OLLAMA_HOST="0.0.0.0")
    told_by_systemd("ollama.service", f"User=daemon\nMainPID={process}", tmp_path, monkeypatch)

    assert services.find_ollama(str(port), "gridtie") == {
        "own_ollama": False,
        "ollama": {
            "unit": "ollama.service",
            "url": f"http://127.0.0.1:{port}",
            "version": "0.31.2",
            "user": "daemon",
            "store": "/data/models",
            "exposed": True,
        },
    }


def test_a_port_that_dockers_service_publishes_for_a_container_is_no_service_to_adopt(
    start: Callable[..., Started], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, _ = start()
    told_by_systemd("docker.service", "User=\nMainPID=1", tmp_path, monkeypatch)

    assert services.find_ollama(port, "gridtie") == {"ollama": {}, "own_ollama": True}


def test_the_engine_of_another_station_is_not_adopted(
    start: Callable[..., Started], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, process = start(GRIDTIE_STAMP="0123")
    told_by_systemd("other-engine.service", f"User=other\nMainPID={process}", tmp_path, monkeypatch)

    assert services.find_ollama(port, "gridtie") == {"ollama": {}, "own_ollama": True}


def test_the_stations_own_engine_is_nobody_elses(
    start: Callable[..., Started], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, process = start(GRIDTIE_STAMP="0123")
    told_by_systemd("gridtie-engine.service", f"User=gridtie\nMainPID={process}", tmp_path, monkeypatch)

    assert services.find_ollama(port, "gridtie") == {"ollama": {}, "own_ollama": False}


def test_something_else_on_the_port_is_no_ollama(start: Callable[..., Started]) -> None:
    port, _ = start(_SERVER.replace("/api/version", "/elsewhere"))

    assert services.find_ollama(port, "gridtie") == {"ollama": {}, "own_ollama": False}


@pytest.mark.parametrize("port", [9, 0, "", "http"])
def test_where_nobody_listens_there_is_no_ollama(port: object) -> None:
    assert services.find_ollama(port, "gridtie") == {"ollama": {}, "own_ollama": False}


@pytest.mark.parametrize(
    ("state", "engine", "found", "unit"),
    [
        ("loaded", {"adopted": True, "unit": "ollama.service"}, {}, "ollama.service"),
        ("not-found", {"adopted": True, "unit": "ollama.service"}, {}, ""),
        ("loaded", {"adopted": True, "unit": "ollama.service"}, {"unit": "ollama.service"}, ""),
        ("loaded", {"unit": "gridtie-engine.service"}, {}, ""),
        ("loaded", {}, {}, ""),
    ],
    ids=["it is stopped", "it was removed", "it answers", "it is the station's own", "there is no station"],
)
def test_an_adopted_service_that_is_installed_and_does_not_answer_is_told_from_one_that_is_gone(
    state: str, engine: dict[str, object], found: dict[str, object], unit: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    told_by_systemd("", f"LoadState={state}", tmp_path, monkeypatch)

    assert services.silent(engine, found) == unit


def test_a_service_runs_with_what_its_main_process_was_started_with(
    start: Callable[..., Started], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, process = start(GRIDTIE_STAMP="0123")
    told_by_systemd("gridtie-engine.service", f"MainPID={process}", tmp_path, monkeypatch)

    assert services.running_environment("gridtie-engine.service")["GRIDTIE_STAMP"] == "0123"


def test_a_service_that_does_not_run_has_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told_by_systemd("gridtie-engine.service", "MainPID=0", tmp_path, monkeypatch)

    assert services.running_environment("gridtie-engine.service") == {}


def test_what_can_be_read_of_a_unit_where_systemd_does_not_answer_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert services.show("ollama.service", ("User",)) == {}
