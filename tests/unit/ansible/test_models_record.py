"""A run leaves behind how fast the machine's memory is, also where it chose no model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from plugins.module_utils.gridtie_host.machine import detect
from plugins.module_utils.gridtie_host.machine.record import SpeedRecord, beside
from plugins.modules import gridtie_models
from plugins.modules.gridtie_models import write_down_speed


@pytest.fixture
def record(tmp_path: Path) -> SpeedRecord:
    return SpeedRecord(beside(tmp_path / "models.json"), write=True)


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac's memory is not measured")
def test_a_station_that_keeps_its_models_has_the_figure_written_down_once(
    record: SpeedRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 1.0.0 keeps them: without a record, every `gridtie fit` on it would measure, and show another figure."""
    monkeypatch.setattr(detect, "_measure", lambda *machine: 5e9)
    write_down_speed(record)
    first = json.loads(record.path.read_text())

    monkeypatch.setattr(detect, "_measure", pytest.fail)
    write_down_speed(record)

    assert first["bandwidth"]["bytes_per_second"] > 0 and json.loads(record.path.read_text()) == first


def test_a_machine_that_cannot_be_looked_at_does_not_end_the_run(
    record: SpeedRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*arguments: object) -> None:
        raise OSError("/proc cannot be read")

    monkeypatch.setattr(gridtie_models, "this_machine", unreadable)
    write_down_speed(record)

    assert not record.path.exists()


def test_nothing_is_looked_at_where_no_catalogue_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gridtie_models, "this_machine", pytest.fail)

    write_down_speed(None)
