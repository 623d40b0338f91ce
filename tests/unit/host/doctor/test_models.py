"""The doctor on models: what they showed, and a station that has none to write code with."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from gridtie.host.acceptance.record import FAILED, HELD, NOT_RUN, Acceptance, Result
from gridtie.host.commands.doctor import line, verdict
from gridtie.host.doctor.check import Report
from standins.healthy import MODEL, STATE, Healthy


def shown(station: Healthy, *results: Result, **changes: Any) -> None:
    """The station's file says so of its model."""
    model = station.station["models"][0]
    model.update({"context": 8192, "parallel": 1, "catalogue": "smollm2:135m"})
    said = Acceptance(MODEL, "smollm2:135m", model["digest"], 8192, 1, "ollama", "0.32.15", "2026-11-29", 9.0, results)
    row = {**asdict(said), **changes}
    station.files[STATE / "models" / "accepted.json"] = json.dumps({"schema": 1, "accepted": [row]})


def test_what_a_model_showed_is_named_with_its_day() -> None:
    station = Healthy()
    shown(station, Result("answers", HELD, "'Hello'"))
    result = station.examine()["models.accepted"]

    assert result.ok and not result.warning and f"{MODEL} (1 checks, 2026-11-29)" in result.found


def test_what_was_not_run_is_said_with_its_reason_and_fails_nothing() -> None:
    station = Healthy()
    shown(
        station, Result("answers", HELD, "'Hello'"), Result("context", NOT_RUN, "the 5 s for this model were used up")
    )
    result = station.examine()["models.accepted"]

    assert result.ok and "not run: context: the 5 s for this model were used up" in result.found


def test_a_model_that_is_not_what_it_is_said_to_be_fails() -> None:
    station = Healthy()
    shown(station, Result("context", FAILED, "2,048 of 8,192 tokens read, some were cut"))
    result = station.examine()["models.accepted"]

    assert not result.ok and "context: 2,048 of 8,192" in result.found and "gridtie models accept" in result.fix


def test_lost_tool_calls_are_a_warning_since_the_model_is_good_for_the_rest() -> None:
    station = Healthy()
    shown(station, Result("tools", FAILED, "0 of 10 calls well-formed"))
    result = station.examine()["models.accepted"]

    assert result.ok and "is not for agents: 0 of 10" in result.warning


def test_a_record_of_another_engine_or_file_says_nothing() -> None:
    for change in ({"engine_version": "0.34.4"}, {"digest": "sha256:other"}):
        station = Healthy()
        shown(station, Result("answers", HELD, "'Hello'"), **change)
        assert "has not shown what it can" in station.examine()["models.accepted"].warning


def test_a_station_with_the_smoke_test_alone_says_so_and_passes() -> None:
    result = Healthy().examine()["models.coding"]

    assert result.ok and "there is no coding model here" in result.warning and "gridtie fit" in result.warning
    assert line(result).startswith("warn") and "warning" in line(result)
    assert "PASS: all 1 checks hold, with 1 warning" in verdict(Report((result,), 1.0))


def test_one_with_a_coding_model_does_not() -> None:
    station = Healthy()
    station.station["models"].append({**station.station["models"][0], "name": "gridtie/coder:7b", "purposes": ["code"]})

    assert station.examine()["models.coding"].found == "gridtie/coder:7b"
    assert not station.examine()["models.coding"].warning
