"""The service image's first process: the engine, then the router, and both end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from gridtie_service import service as first_process

from standins.loopback import on_loopback

ROOT = Path(__file__).resolve().parents[3]

# The engine answers once FILE is there; each program writes its name on a line, and how it ended.
PARENT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, "compose/images/service")
from gridtie_service.service import Service
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
engine, router, answers, patience = sys.argv[1:]
service = Service(["sh", "-c", engine], ["sh", "-c", router], Path(answers).exists, os.environ)
sys.exit(service.run(float(patience)))
"""
STAYS = "trap 'echo NAME ends; exit 0' TERM; echo NAME starts; while :; do sleep 0.05; done"
LIMIT = 20


@contextmanager
def running(
    directory: Path, *, engine: str = STAYS, router: str = STAYS, ready: bool = True, patience: float = 60
) -> Iterator[subprocess.Popen[str]]:
    """The service with other programs in their places; killed in the end."""
    answers = directory / "answers"
    if ready:
        answers.touch()
    words = [engine.replace("NAME", "engine"), router.replace("NAME", "router"), str(answers), str(patience)]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def line(process: subprocess.Popen[str], wanted: str) -> None:
    """Return when the service has printed this line."""
    assert process.stdout is not None
    for said in process.stdout:
        if said.strip() == wanted:
            return
    raise AssertionError(f"it ended without {wanted!r}")


def rest(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.read().split("\n")


def test_the_router_is_not_started_before_the_engine_answers(tmp_path: Path) -> None:
    with running(tmp_path, ready=False) as service:
        line(service, "engine starts")
        time.sleep(0.3)
        (tmp_path / "answers").touch()
        line(service, "router starts")
        service.terminate()
        service.wait(LIMIT)

        assert service.returncode == 0


def test_a_signal_ends_the_router_and_then_the_engine(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        line(service, "router starts")
        service.terminate()

        assert [said for said in rest(service) if said.endswith("ends")] == ["router ends", "engine ends"]
        assert service.wait(LIMIT) == 0


def test_a_signal_while_the_engine_still_loads_ends_it(tmp_path: Path) -> None:
    with running(tmp_path, ready=False) as service:
        line(service, "engine starts")
        service.terminate()

        assert "engine ends" in rest(service)
        assert service.wait(LIMIT) == 0


def test_when_the_router_dies_the_engine_is_ended_and_the_container_fails(tmp_path: Path) -> None:
    with running(tmp_path, router="exit 3") as service:
        said = rest(service)

        assert "gridtie-service: the router ended with status 3" in said
        assert "engine ends" in said
        assert service.wait(LIMIT) == 1


def test_a_routing_file_with_a_mistake_ends_it_with_the_routers_own_status(tmp_path: Path) -> None:
    with running(tmp_path, router="echo 'llm_routing.yaml:3: rulez'; exit 2") as service:
        assert "llm_routing.yaml:3: rulez" in rest(service)
        assert service.wait(LIMIT) == 2


def test_when_the_engine_dies_the_router_is_ended_and_the_container_fails(tmp_path: Path) -> None:
    with running(tmp_path, engine="sleep 0.5; exit 0") as service:
        line(service, "router starts")

        assert "router ends" in rest(service)
        assert service.wait(LIMIT) == 1


def test_an_engine_that_never_answers_ends_it(tmp_path: Path) -> None:
    with running(tmp_path, ready=False, patience=0.3) as service:
        assert any("has not answered" in said for said in rest(service))
        assert service.wait(LIMIT) == 1


class Healthy(BaseHTTPRequestHandler):
    """The engine's server, once the model is loaded."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not among the tests' words."""


def test_the_engine_is_not_asked_through_the_proxy_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which a job's variables and Docker's own settings put into the container."""
    with on_loopback(Healthy) as port:
        monkeypatch.setattr(first_process, "ENGINE_HEALTH", f"http://127.0.0.1:{port}/health")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.delenv("no_proxy", raising=False)

        assert first_process.engine_answers()
