"""What the engine says that it holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridtie.host.machine.hardware import Loaded
from gridtie.host.models.loaded import parse_ps, read_loaded


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
    station = {
        "schema": 1,
        "engine": {"mode": "container", "container": "none-engine"},
        "models": [{"url": "http://engine:11434"}],
        "expected": {"router_container": "none-router"},
    }
    (tmp_path / "station.json").write_text(json.dumps(station))

    assert read_loaded(tmp_path) == ()
