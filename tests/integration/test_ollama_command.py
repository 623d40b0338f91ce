"""The real `ollama` command, asked by the router's address with a key in front of the path."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from python_on_whales import docker

from integration.station import Station

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def program(station: Station, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the engine's container."""
    made = tmp_path_factory.mktemp("bin") / "ollama"
    docker.copy((station.engine, "/usr/bin/ollama"), made)
    return made


@pytest.fixture
def ask(station: Station, program: Path, tmp_path: Path) -> Ask:
    def run(*words: str, key: str = station.key) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OLLAMA_HOST": f"{station.endpoint}/{key}"}
        return subprocess.run(
            [program, *words], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    return run


def test_it_chats_with_an_alias(station: Station, ask: Ask) -> None:
    before = _requests(station)
    done = ask("run", "smoke-test", "Say hello.")

    # The small model may repeat itself until the engine ends it, and the command has no seed to give.
    assert done.stdout.strip() or "token repeat limit" in done.stderr, done.stderr
    assert _requests(station) == before + 1


@pytest.mark.parametrize("words", [("list",), ("show", "smoke-test"), ("ps",)])
def test_it_shows_what_there_is(ask: Ask, words: tuple[str, ...]) -> None:
    done = ask(*words)

    assert done.returncode == 0, done.stderr
    assert "smoke-test" in done.stdout or "completion" in done.stdout or "smollm2" in done.stdout


def test_a_key_that_is_not_known_and_a_pull_are_told_as_a_sentence(ask: Ask) -> None:
    assert "this key is not known" in ask("list", key="gt-" + "a" * 43).stderr
    assert "make site" in ask("pull", "qwen3:8b").stderr


def _requests(station: Station) -> int:
    with station.client() as client:
        rows: list[object] = client.get("/gridtie/requests", params={"last": "1000"}).json()["requests"]
    return len(rows)
