"""What a run came to on each host is told to people and to programs."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from plugins.plugin_utils import gridtie_fleet_report as fleet_report

NOW = datetime.datetime(2026, 11, 29, 6, 15, tzinfo=datetime.UTC)
STATION = {
    "engine": {"kind": "ollama", "version": "0.32.14"},
    "models": [{"name": "qwen2.5-coder:7b"}, {"name": "smollm2:135m"}],
}
FAILED = {"verdict": "FAIL", "checks": [{"id": "engine", "ok": True}, {"id": "gpu.used", "ok": False}]}


def counts(**changed: dict[str, int]) -> dict[str, dict[str, int]]:
    return changed


@pytest.fixture
def report() -> fleet_report.FleetReport:
    found = fleet_report.FleetReport()
    found.begin(["one", "two", "three"], ["one", "two", "three"])
    return found


def outcomes(report: fleet_report.FleetReport, counted: dict[str, dict[str, int]]) -> dict[str, str]:
    return {row.host: row.outcome for row in report.rows(counted)}


def test_a_table_has_engine_model_verdict_and_what_does_not_hold(report: fleet_report.FleetReport) -> None:
    report.take_facts("one", {"gridtie_station": STATION})
    report.take_verdict("one", FAILED)
    report.take_failure("one", "Examine the station")

    told = fleet_report.table(report.rows(counts(one={"failures": 1}))).splitlines()

    assert told[0].split() == ["host", "outcome", "verdict", "engine", "model"]
    assert " ".join(told[1].split()) == (
        "one failed FAIL ollama 0.32.14 qwen2.5-coder:7b and 1 more Examine the station; failed checks: gpu.used"
    )
    assert {line.index("unchanged") for line in told[2:]} == {told[0].index("outcome")}


def test_what_runs_now_counts_more_than_what_ran_before(report: fleet_report.FleetReport) -> None:
    report.take_facts("one", {"gridtie_station": STATION})
    report.take_facts("one", {"gridtie_resolved_engine": {"kind": "embedded", "version": "1.2"}})

    assert report.rows({})[0].engine == "embedded 1.2"


def test_a_failure_that_the_playbook_answered_is_no_outcome(report: fleet_report.FleetReport) -> None:
    report.take_failure("one", "Run Ollama")
    report.take_facts("one", {"gridtie_resolved_outcome": {"state": "rolled back", "why": "2 failed"}})

    row = report.rows(counts(one={"failures": 1}))[0]

    assert (row.outcome, row.why) == ("rolled back", "2 failed")


def test_a_host_that_went_away_is_unreachable_whatever_came_before(report: fleet_report.FleetReport) -> None:
    report.take_facts("one", {"gridtie_resolved_outcome": {"state": "upgraded"}})

    assert outcomes(report, counts(one={"unreachable": 1}))["one"] == "unreachable"


def test_who_was_in_no_wave_was_not_reached_also_if_other_plays_follow(report: fleet_report.FleetReport) -> None:
    report.begin(["one", "two", "three"], ["one"])
    report.begin(["one", "two", "three"], ["two"])
    assert outcomes(report, counts(two={"changed": 1})) == {
        "one": "unchanged",
        "two": "changed",
        "three": "not reached",
    }


def test_the_waves_of_a_later_play_do_not_hide_who_was_passed_over(report: fleet_report.FleetReport) -> None:
    report.begin(["one", "two"], ["one"])
    report.begin(["one", "two", "three"], ["one", "two", "three"])

    assert outcomes(report, {})["two"] == "not reached"


def test_a_run_without_verdicts_in_which_nothing_failed_needs_no_table(report: fleet_report.FleetReport) -> None:
    assert not report.is_told(report.rows(counts(one={"changed": 3})))
    report.take_verdict("one", {"verdict": "PASS", "checks": []})
    assert report.is_told(report.rows({}))


def test_programs_get_the_same_in_a_file_that_is_whole_at_any_time(
    report: fleet_report.FleetReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "verdicts.json"
    report.take_facts("two", {"gridtie_station": STATION})
    report.take_verdict("two", FAILED)
    document: dict[str, Any] = fleet_report.document(report.rows({}), "verify", NOW)
    fleet_report.write(path, document)

    found = json.loads(path.read_text())
    assert (found["schema"], found["playbook"], found["ended"]) == (1, "verify", "2026-11-29T06:15:00+00:00")
    assert found["hosts"][1]["failed_checks"] == ["gpu.used"]
    assert found["hosts"][1]["models"] == ["qwen2.5-coder:7b", "smollm2:135m"]

    with pytest.raises(TypeError):
        fleet_report.write(path, {"not JSON": object()})
    assert json.loads(path.read_text()) == found
    assert list(tmp_path.iterdir()) == [path]
