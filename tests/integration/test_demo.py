"""The demo from the outside: a command, its output, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from python_on_whales import docker

from integration.station import Station

ROOT = Path(__file__).parents[2]


def _start(place: Station, *arguments: str) -> subprocess.Popen[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return subprocess.Popen(
        # A runner in the background ignores interrupts, and what it starts would inherit that.
        ["env", "--default-signal=INT", sys.executable, "-B", str(ROOT / "demo_final.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ | {"GRIDTIE_CONFIG_DIR": str(place.config)},
    )


def _finish(process: subprocess.Popen[str], limit: float = 110) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, out, err


@pytest.mark.parametrize("engine", ["station", "embedded_station"])
def test_the_default_task_is_built_and_passes(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Five agents, hidden tests, a table with where it ran and what it cost: local, and nothing."""
    place: Station = request.getfixturevalue(engine)
    code, out, err = _finish(_start(place, "--json", str(tmp_path / "result.json")))
    result = json.loads((tmp_path / "result.json").read_text())

    assert (code, err) == (0, "")
    assert "PASS  reverse_string passed its hidden tests" in out
    assert [line["agent"] for line in result["agents"]] == ["planner", "coder", "tester", "reviewer", "documenter"]
    assert {(line["where"], line["cost_usd"]) for line in result["agents"]} == {("local", 0.0)}
    assert all(line["baseline_usd"] > 0 and line["tokens_out"] > 0 for line in result["agents"])


def test_a_real_engine_and_a_stand_in_are_compared_and_the_stand_in_is_called_one(
    embedded_station: Station, tmp_path: Path
) -> None:
    """The plumbing of COMPARE=1: both sides build, in turns, and what a solved task cost is told of each."""
    out = tmp_path / "demo.jsonl"
    words = ("--compare", "--standin", "--task", "is_even", "--seeds", "1", "--model", "smoke-test", "--out", str(out))
    code, said, err = _finish(_start(embedded_station, *words))
    told = json.loads(out.with_suffix(".json").read_text())

    assert code == 0, err
    here, there = told["sides"]
    assert (here["locality"], here["engine"], here["standin"]) == ("local", "embedded", False)
    assert here["digest"].startswith("sha256:")
    assert here["quantisation"]
    assert there["standin"]
    assert all(line["usd"]["value"] > 0 for line in there["agents"])
    assert [line["rate"]["total"] for line in here["agents"]] == [1] * 6
    assert "a stand-in (cloud)" in said


def test_the_ledger_knows_every_request_with_its_agent(station: Station, tmp_path: Path) -> None:
    """The figures in the table can be looked up."""
    _finish(_start(station, "--model", "smoke-test", "--seed", "2", "--json", str(tmp_path / "result.json")))
    result = json.loads((tmp_path / "result.json").read_text())
    with station.client() as client:
        rows = [client.get(f"/gridtie/requests/{id}").raise_for_status().json() for id in result["requests"]]

    assert {row["agent"] for row in rows} >= {"planner", "coder"}
    assert {row["environment"] for row in rows} == {"dev"}


def test_an_unknown_model_is_refused_with_the_known_ones(station: Station) -> None:
    """Exit code 2, before anything starts."""
    code, out, err = _finish(_start(station, "--model", "no-such-model"))

    assert (code, out) == (2, "")
    assert "serves no model 'no-such-model'; it has" in " ".join(err.split())


def test_an_interrupt_ends_it_in_good_order(station: Station) -> None:
    """Ctrl-C in the middle: exit code 130, no traceback, no container left."""
    process = _start(station, "--model", "smoke-test")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("coder"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, _out, err = _finish(process, 40)
    left = docker.container.list(filters=[("label", f"gridtie.sandbox={process.pid}")])

    assert (code, err) == (130, "")
    assert left == []
    assert httpx.get(f"{station.endpoint}/healthz").status_code == 200
