"""`gridtie bench` as a host runs it: from the router's image, on the router's network, against real engines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gridtie.bench.results import read
from integration.station import Station
from standins.router import ROOT

QUICK = (
    "smoke-test",
    "--profile",
    "chat",
    "--prompt-tokens",
    "60",
    "--concurrency",
    "1",
    "--requests",
    "4",
    "--rounds",
    "2",
)


def bench(station: Station, directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the host's command, in a directory of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "GRIDTIE_CONFIG_DIR": str(station.config)}
    return subprocess.run(
        [sys.executable, "-m", "gridtie.host", "bench", *words],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


@pytest.fixture(params=["station", "embedded_station"])
def either(request: pytest.FixtureRequest) -> Station:
    """A station with Ollama, and one with the embedded engine."""
    found: Station = request.getfixturevalue(request.param)
    return found


def test_both_ways_are_measured_and_the_engines_memory_is_seen(either: Station, tmp_path: Path) -> None:
    ran = bench(either, tmp_path, *QUICK, "--out", "results.jsonl", "--json", "told.json")

    assert ran.returncode == 0, ran.stderr
    document: Any = json.loads((tmp_path / "told.json").read_text())
    assert [(row["beside"], row["answers"]) for row in document["rows"]] == [(False, 4), (True, 4)]
    assert all(row["measures"]["first-token"]["p50"]["value"] > 0 for row in document["rows"])
    assert max(row["resident_bytes"] or 0 for row in document["rows"]) > 50 << 20
    assert document["facts"]["engine"] == either.facts["engine"]["kind"]
    assert not document["rows"][0]["estimated"]


def test_its_requests_are_in_the_ledger_and_outside_every_saving(station: Station, tmp_path: Path) -> None:
    bench(station, tmp_path, *QUICK, "--out", "results.jsonl")
    answer = next(each.answer for each in read(tmp_path / "results.jsonl").requests if each.way == "router")
    assert answer is not None
    with station.client() as client:
        row = client.get(f"/gridtie/requests/{answer.request_id}").json()

    assert (row["purpose"], row["agent"], row["locality"]) == ("bench", "gridtie-bench", "local")


def test_an_ollama_is_unloaded_and_the_cold_load_stands_apart(station: Station, tmp_path: Path) -> None:
    ran = bench(station, tmp_path, *QUICK, "--cold", "1", "--out", "results.jsonl")

    assert ran.returncode == 0, ran.stderr
    (cold,) = read(tmp_path / "results.jsonl").cold
    assert cold.engine is not None
    assert cold.engine.load_s > 0.01
    assert "Cold, the model not in memory" in ran.stdout
    assert "by the engine's account" in ran.stdout


def test_an_engine_that_is_gone_is_said_in_one_sentence(station: Station, tmp_path: Path) -> None:
    with station.engine_stopped():
        ran = bench(station, tmp_path, *QUICK, "--out", "results.jsonl")

    assert ran.returncode == 2
    assert ran.stderr.strip().splitlines()[-1].startswith("gridtie: ")
