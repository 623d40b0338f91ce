"""What `nvidia-smi` says of cards becomes bytes, watts and degrees; what it does not say is nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridtie.host import cli, readings
from gridtie.host.command import Ran
from gridtie.host.commands import readings as command

# As a driver of 2025 prints it: two cards, of which one has no sensor for watts.
PRINTED = """\
0, NVIDIA H200, 143771, 1024, 76.32, 34, 7
1, NVIDIA GeForce MX450, 2048, 3, [N/A], 51, [Not Supported]
"""


def test_cards_are_read_in_base_units() -> None:
    first, second = readings.cards(lambda _: Ran(0, PRINTED, ""))

    assert first == {
        "card": "0", "model": "NVIDIA H200", "memory_bytes": 143771 * 2**20, "used_bytes": 2**30, "watts": 76.32,
        "celsius": 34.0, "busy": 0.07,
    }  # fmt: skip
    assert (second["watts"], second["busy"], second["celsius"]) == (None, None, 51.0)


@pytest.mark.parametrize(
    "ran", [Ran(127, "", "no such command"), Ran(9, PRINTED, ""), Ran(0, "", ""), Ran(0, "x\n", "")]
)
def test_a_machine_without_cards_or_with_a_driver_that_fails_has_none(ran: Ran) -> None:
    assert readings.cards(lambda _: ran) == []


def test_the_file_is_replaced_whole_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third look is the end here; each has left a whole file and nothing beside it."""
    file, seen = tmp_path / "readings.json", []

    def sleep(_: float) -> None:
        seen.append(json.loads(file.read_text())["time"])
        if len(seen) == 3:
            raise KeyboardInterrupt

    times = iter((1.0, 2.0, 3.0))
    monkeypatch.setattr(command.time, "sleep", sleep)
    monkeypatch.setattr(command.time, "time", lambda: next(times))
    monkeypatch.setattr(command, "cards", list)
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path / "nothing"))

    assert cli.main(["readings", "--write", str(file)]) == 130
    assert seen == [1.0, 2.0, 3.0]
    assert [path.name for path in tmp_path.iterdir()] == ["readings.json"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").write_text("")

    assert cli.main(["readings", "--write", str(tmp_path / "file" / "readings.json")]) == 2
    assert "readings.json" in capsys.readouterr().err
