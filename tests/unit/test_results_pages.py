"""docs/benchmarks.md, docs/quality.md and docs/limitations.md say what files of results say."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "results_pages.py"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import results_pages

    return results_pages


def test_the_pages_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_page_without_marks_is_refused(pages: ModuleType) -> None:
    with pytest.raises(ValueError, match="has no marks for target"):
        pages.page("benchmarks.md", "# Benchmarks\n")


def test_what_was_not_recorded_says_so_and_what_would_fill_it_in(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "read", lambda name: None)

    assert pages.target() == "Not recorded here: `make record NAMES=bench-probe`, on a station, fills it in."


def test_a_recorded_benchmark_has_its_machine_date_command_and_version(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate = {"value": 0.42, "low": 0.4, "high": None, "n": 20}
    row: dict[str, Any] = {
        "profile": "chat", "phase": None, "concurrency": 4, "beside": True, "answers": 18, "errors": {"504": 2},
        "measures": {"first-token": {"p50": estimate, "tail": estimate}}, "throughput": {"value": 31.94},
    }  # fmt: skip
    found = pages.Record(
        name="bench-probe",
        command="gridtie bench probe",
        date="2026-11-29T12:00:00+00:00",
        machine={"processor": "AMD EPYC", "cores": 2},
        gridtie="1.1.0",
        commit="abc",
        exit_status=0,
        seconds=1.0,
        result={
            "run": {"target": "station/m"},
            "facts": {"engine": "embedded", "engine_version": "1", "digest": "sha256:" + "ab" * 32},
            "rows": [row],
        },
    )
    monkeypatch.setattr(pages, "read", lambda name: found)

    told = pages.target()

    assert "| chat, 4 at once, beside the router | 18 (+2 failed) | 0.42 s (0.4 to ?) |" in told
    assert "`gridtie bench probe`, 2026-11-29, AMD EPYC, 2 cores, no graphics card, gridtie 1.1.0 (abc)." in told
    assert "embedded 1, sha256:abababababab" in told
    assert "come to its end" not in told

    broken = dataclasses.replace(found, exit_status=2, result={**found.result, "unfinished": "the target is gone"})
    monkeypatch.setattr(pages, "read", lambda name: broken)

    assert "**It did not come to its end**, with exit status 2: the target is gone." in pages.target()


def test_a_recorded_fault_has_what_was_lost_and_overdrawn_by_it(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    row: dict[str, Any] = {
        "fault": "kill -9", "routers": 3, "sent": 1200, "answered": 1197, "retried": 4, "broken_off": 1,
        "failed": {"no connection": 2, "503 going_down": 1}, "lost": 5, "overdrawn_usd": 0.25, "budget_usd": 6.0,
        "billed_usd": 6.25, "slowest_s": 3.28,
    }  # fmt: skip
    found = pages.Record(
        name="chaos",
        command="chaos",
        date="2026-11-30T12:00:00+00:00",
        machine={},
        gridtie="1.1.0",
        commit="abc",
        exit_status=1,
        seconds=1.0,
        result={"rows": [row]},
    )
    monkeypatch.setattr(pages, "read", lambda name: found)

    told = pages.chaos()

    assert (
        "| kill -9 | 3 | 1,200 | 1,197 | 4 | 1 | 2 (no connection), 1 (503 going_down) | 5 "
        "| $0.25 of $6, 6.25 billed | 3.3 s |"
    ) in told
    assert "**It did not come to its end**, with exit status 1" in told


def test_a_recorded_run_of_quality_has_each_category_with_its_interval_time_and_cost(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = {"passed": 5, "total": 12, "low": 0.19, "high": 0.68}
    found = pages.Record(
        name="quality-probe",
        command="gridtie quality probe",
        date="2026-11-29T12:00:00+00:00",
        machine={},
        gridtie="1.1.0",
        commit="abc",
        exit_status=0,
        seconds=1.0,
        result={
            "run": {"target": "station/m"},
            "facts": {},
            "categories": [
                {"group": "python", "rate": rate, "seconds": {"value": 27.5}, "usd": {"value": 0.00021}},
                {"group": "shell", "rate": {**rate, "passed": 0}, "seconds": None, "usd": None},
                {"group": "sql", "rate": rate, "seconds": {"value": 2.0}, "usd": None},
            ],
            "counted": "electricity at 300 W",
            "left_out": {"tools-weather": "the target takes no tools"},
        },
    )
    monkeypatch.setattr(pages, "read", lambda name: found)

    told = pages.solved()

    assert "| python | 5 of 12 | 19% to 68% | 27.5 s | $0.00021 |" in told
    assert "| shell | 0 of 12 | 19% to 68% | - | - |" in told
    assert "| sql | 5 of 12 | 19% to 68% | 2 s | unknown |" in told
    assert "Cost: electricity at 300 W. Not tried, since the target could not be given them: 1 tasks." in told


def test_what_a_solved_task_cost_names_each_side_and_says_which_is_a_stand_in(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = [
        {"group": "all", "rate": {"passed": 2, "total": 6}, "usd": {"value": 0.00042}, "seconds": {"value": 12.5}},
        {"group": "planner", "rate": {"passed": 0, "total": 6}, "usd": None, "seconds": None},
    ]
    found = pages.Record(
        name="demo-compare",
        command="demo_final.py --compare",
        date="2026-11-29T12:00:00+00:00",
        machine={"cores": 2},
        gridtie="1.1.0",
        commit="abc",
        exit_status=0,
        seconds=1.0,
        result={
            "tasks": ["is_even"],
            "seeds": 3,
            "counted": "300 W",
            "sides": [
                {"target": "station/m", "standin": False, "agents": agents},
                {"target": "cloud/x", "standin": True, "agents": agents[:1]},
            ],
        },
    )
    monkeypatch.setattr(pages, "read", lambda name: found)

    told = pages.solved_task()

    assert "| `station/m` | all | 2 of 6 | $0.00042 | 12.5 s |" in told
    assert "| `station/m` | planner | 0 of 6 | - | - |" in told
    assert "| `cloud/x` (a stand-in) | all |" in told


def test_models_that_tried_the_demos_tasks_are_not_summed_up_as_one(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = [
        {"model": model, "engine": "ollama", "task": "is_even", "passed": model == "big"} for model in ("tiny", "big")
    ]
    (tmp_path / "demo_rates.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.setattr(pages, "MEASURED", tmp_path)

    told = pages.demo()

    assert "| tiny, tiny | `reverse_string`, `is_even` | 0 of 1 |" in told
    assert "| tiny, big | `reverse_string`, `is_even` | 1 of 1 |" in told


def test_the_routers_ratios_are_those_of_the_files(pages: ModuleType) -> None:
    # 105.685 µs of 24.591 µs, and 29.485 of 18.307.
    assert "| router | 105.7 µs | 4.30 | 29.5 µs | 1.61 | 43 MB |" in pages.routers()


def test_the_routers_of_a_run_of_many_rounds_are_shown_with_their_spread_and_what_they_do_not_do(
    pages: ModuleType,
) -> None:
    def figures(cpu_us: float, **more: float) -> dict[str, float]:
        return {"cpu_us": cpu_us, "resident_mb": 42.4, **more}

    def spread(median: float, least: float, most: float) -> dict[str, float]:
        return {"median": median, "least": least, "most": most, "lower": least + 0.01, "upper": most - 0.01}

    paced = [{"added_p99_ms": later} for later in (0.9, 1.25, 3.0)]
    told = pages._routers(
        "router_vs_peers-1.json",
        {
            "date": "2026-11-30",
            "versions": {"python": "3.11.2", "peer": "1.2"},
            "load_average": [0.4, 0.5, 0.6],
            "spacing": 0.006,
            "results": {
                "whole": {"nginx": figures(20), "router": figures(70), "peer": figures(80)},
                "stream": {
                    "nginx": figures(17),
                    "router": figures(23),
                    "router: chat, of Ollama's": figures(27),
                    "other": figures(20),
                },
                "half": {
                    "router": {"added_p99_ms": 1.25, "rate": 6000.4},
                    "peer": {"added_p99_ms": 0.5, "rate": 5000},
                },
            },
            "against_nginx": {
                "whole": {"nginx": spread(1, 1, 1), "router": spread(3.51, 3.4, 3.9), "peer": spread(4, 3.8, 4.2)},
                "stream": {
                    "nginx": spread(1, 1, 1),
                    "router": spread(1.36, 1.3, 1.42),
                    "router: chat, of Ollama's": spread(1.61, 1.5, 1.7),
                    "other": spread(1.2, 1.1, 1.29),
                },
            },
            "failed": {"stream": {"peer": "HTTP/1.1 500 Internal Server Error"}},
            "rounds": {"whole": {"nginx": [{}, {}, {}]}, "half": {"router": paced, "peer": paced}},
        },
    )

    assert "| nginx | 20.0 µs | 1.00 | 17.0 µs | 1.00 | 42 MB |  |" in told
    router = "| router | 70.0 µs | 3.51 (3.40 to 3.90) | 23.0 µs | 1.36 (1.30 to 1.42) | 42 MB |"
    assert f"{router} 1.25 ms (0.90 to 3.00) at 6,000/s |" in told
    assert "| peer 1.2 | 80.0 µs | 4.00 (3.80 to 4.20) | none |  | 42 MB | 0.50 ms (0.90 to 3.00) at 5,000/s |" in told
    assert "load of the machine before it: 0.4; median of 3 rounds, with the least and the most" in told
    assert "No figures of streams of peer: `HTTP/1.1 500 Internal Server Error`." in told
    for verdict in (
        "a request at most 3.5 times nginx: **missed** (3.51)",
        "a request below every peer: met (3.51 times nginx, peer 4.00)",
        "a chunk at most 1.4 times nginx: met (1.36)",
        "no peer's chunk below it beyond the quartiles: **missed** (other)",
        "translated at most 1.6: **missed** (1.61, chat, of Ollama's)",
        "p99 at half load below every peer: **missed** (1.25 ms later, peer 0.50)",
        "at most 60 MB with 150 streams: met (42 MB)",
    ):
        assert verdict in told
