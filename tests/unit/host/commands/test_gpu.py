"""`gridtie gpu`: the cards with their names, and of a station those that its engine may use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gridtie.host.cli import main
from gridtie.host.commands import gpu as command
from gridtie.host.gpu import read_survey
from gridtie.host.gpu.record import unpack
from standins.healthy import STATION

FIXTURES = Path(__file__).parents[3] / "fixtures/gpu"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A station's configuration on a machine with two cards."""
    unpack((FIXTURES / "rtx-3090-two.tree").read_text(), tmp_path / "machine")
    found = read_survey(tmp_path / "machine")
    monkeypatch.setattr(command, "read_survey", lambda *_: found)
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    return tmp_path


def declare(config: Path, devices: object) -> None:
    (config / "station.json").write_text(
        json.dumps({**STATION, "expected": {**STATION["expected"], "gpu_devices": devices}})
    )


def test_a_card_that_the_station_leaves_out_is_shown_as_left_out(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(config, ["1"])

    assert main(["gpu"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].endswith("(discrete): left out by gridtie_gpu_devices")
    assert said[2].startswith("1: NVIDIA GeForce RTX 3090 at 0000:02:00.0, GPU-aaaaaaaa-")
    assert said[2].endswith("(discrete): CUDA, compute capability 8.6")


def test_without_a_station_all_cards_count(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu"]) == 0
    assert "left out" not in capsys.readouterr().out


def test_a_card_that_was_named_and_is_not_there_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(config, ["4"])

    assert main(["gpu"]) == 2
    assert "gridtie_gpu_devices names 4, which is no card of this machine; name some of these: 0 (" in (
        capsys.readouterr().err
    )


def test_of_another_machines_record_all_cards_are_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(config, ["1"])

    assert main(["gpu", "--root", str(config / "machine")]) == 0
    assert "left out" not in capsys.readouterr().out
