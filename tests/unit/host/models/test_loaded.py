"""What the engine says that it holds."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gridtie.host.machine.hardware import Loaded
from gridtie.host.models.loaded import parse_ps, read_loaded, virtual_memory

STATION: dict[str, Any] = {
    "schema": 1,
    "engine": {"mode": "container", "container": "none-engine"},
    "models": [{"url": "http://engine:11434"}],
    "expected": {"router_container": "none-router"},
}


def docker_that_says(text: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `docker` command that answers everything with `text`, and notes what it was asked."""
    program = directory / "docker"
    program.write_text(f"#!/bin/sh\necho \"$@\" >>'{directory}/asked'\ncat <<'END'\n{text}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")


def test_every_loaded_model_has_its_size_and_its_part_on_graphics() -> None:
    answer = {"models": [{"name": "a:1b", "size": 9, "size_vram": 8}, {"name": "b:1b", "size": 5}]}

    assert parse_ps(json.dumps(answer)) == (Loaded("a:1b", 9, 8), Loaded("b:1b", 5, 0))


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"error": "not found"}', '{"models": [{"name": "a"}]}'])
def test_an_answer_of_another_kind_is_nothing(text: str) -> None:
    assert parse_ps(text) == ()


def test_a_station_whose_containers_cannot_be_asked_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "station.json").write_text(json.dumps(STATION))

    assert read_loaded(tmp_path) == ()


def test_an_engine_in_a_container_is_asked_from_the_routers_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = json.dumps({"models": [{"name": "a:1b", "size": 9, "size_vram": 8}]})
    docker_that_says(json.dumps(["http://engine:11434/api/ps", 200, held]), tmp_path, monkeypatch)
    (tmp_path / "station.json").write_text(json.dumps(STATION))

    assert read_loaded(tmp_path) == (Loaded("a:1b", 9, 8),)
    assert "exec none-router python3" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("system", "mode", "found"), [("darwin", "container", 8), ("darwin", "native", 0), ("linux", "container", 0)]
)
def test_only_an_engine_in_a_macs_docker_has_a_virtual_machines_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, mode: str, found: int
) -> None:
    docker_that_says('{"MemTotal": 8}', tmp_path, monkeypatch)
    monkeypatch.setattr("gridtie.host.models.loaded.sys", SimpleNamespace(platform=system))
    (tmp_path / "station.json").write_text(json.dumps({**STATION, "engine": {"mode": mode}}))

    assert virtual_memory(tmp_path) == found


def test_a_mac_without_a_station_has_no_virtual_machine_to_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridtie.host.models.loaded.sys", SimpleNamespace(platform="darwin"))

    assert virtual_memory(tmp_path) == 0
