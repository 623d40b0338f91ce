"""The supervisor of the embedded engine, with real processes that stand in for llama.cpp's server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gridtie_engine import embedded

HERE = Path(__file__).parent
STANDIN = [sys.executable, str(HERE / "llama_server_standin.py")]
IMAGE = HERE.parents[2] / "compose/images/engine"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write(directory: Path, **models: tuple[int, str]) -> Path:
    """embedded.json with one model per argument: its port, and what its file holds. Replaced as a whole."""
    entries: list[dict[str, Any]] = []
    for name, (port, word) in models.items():
        (directory / name).write_text(word)
        entries.append({"name": name, "path": name, "port": port, "context": 512})
    draft = directory / "draft"
    draft.write_text(json.dumps(entries))
    return draft.replace(directory / "embedded.json")


@contextmanager
def running(manifest: Path) -> Iterator[embedded.Engine]:
    engine = embedded.Engine(manifest, STANDIN)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def until(condition: Callable[[], bool], engine: embedded.Engine, limit: float = 15) -> None:
    """Let the engine tick until the condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        engine.tick()
        time.sleep(0.05)


def starts(directory: Path, name: str) -> int:
    file = directory / f"{name}.starts"
    return len(file.read_text()) if file.exists() else 0


def test_no_model_is_asked_through_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's own settings may put one into each container."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    manifest = write(tmp_path, ready=(free_port(), "200"))

    with running(manifest) as engine:
        until(lambda: embedded.health(manifest) == 0, engine)


def test_it_is_healthy_when_every_model_answers_and_loading_is_no_illness(tmp_path: Path) -> None:
    manifest = write(tmp_path, ready=(free_port(), "200"), loading=(free_port(), "503"))

    with running(manifest) as engine:
        until(lambda: embedded.health(manifest) == 0, engine)
        write(tmp_path, broken=(free_port(), "500"))
        until(lambda: starts(tmp_path, "broken") == 1, engine)

        assert embedded.health(manifest) == 1


def test_a_changed_list_starts_stops_and_restarts_only_what_changed(tmp_path: Path) -> None:
    kept, moved = free_port(), free_port()
    manifest = write(tmp_path, kept=(kept, "200"), moved=(moved, "200"), gone=(free_port(), "200"))

    with running(manifest) as engine:
        until(lambda: embedded.health(manifest) == 0, engine)
        write(tmp_path, kept=(kept, "200"), moved=(free_port(), "200"), new=(free_port(), "200"))
        until(lambda: starts(tmp_path, "new") == 1 and embedded.health(manifest) == 0, engine)

        assert {name: starts(tmp_path, name) for name in ("kept", "moved", "gone")} == {
            "kept": 1, "moved": 2, "gone": 1,
        }  # fmt: skip


def test_an_unusable_list_keeps_what_runs(tmp_path: Path) -> None:
    manifest = write(tmp_path, a=(free_port(), "200"))

    with running(manifest) as engine:
        until(lambda: embedded.health(manifest) == 0, engine)
        good = manifest.read_text()
        manifest.write_text("[")
        engine.tick()
        manifest.write_text(good)

        assert embedded.health(manifest) == 0


def test_a_server_that_dies_is_started_again_after_a_growing_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(embedded, "FIRST_PAUSE", 0.1)
    manifest = write(tmp_path, bad=(free_port(), "end"), good=(free_port(), "200"))

    with running(manifest) as engine:
        until(lambda: starts(tmp_path, "bad") == 3, engine)

    assert starts(tmp_path, "good") == 1
    assert "bad: ended with status 3" in capfd.readouterr().err


SERVE = """
import sys
from pathlib import Path
from gridtie_engine.embedded import serve
sys.exit(serve(Path(sys.argv[1]), sys.argv[2:]))
"""


def serve(manifest: Path) -> subprocess.Popen[str]:
    """The whole engine as a process of its own."""
    command = [sys.executable, "-c", SERVE, str(manifest), *STANDIN]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(IMAGE)}, stderr=subprocess.PIPE, text=True)


def test_sigterm_ends_the_servers_and_then_the_engine(tmp_path: Path) -> None:
    port = free_port()
    process = serve(write(tmp_path, a=(port, "200")))
    try:
        deadline = time.monotonic() + 15
        while embedded.health(tmp_path / "embedded.json") != 0 and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=15)
    finally:
        process.kill()

    assert process.returncode == 0
    assert "a: stopping" in log
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=2):
        pass


def test_an_unusable_list_at_the_start_is_fatal_and_named(tmp_path: Path) -> None:
    manifest = tmp_path / "embedded.json"
    manifest.write_text("{}")

    process = serve(manifest)
    _, log = process.communicate(timeout=15)

    assert process.returncode == 1
    assert "a list of models expected" in log
