"""The tasks whose answers are executed, in the real sandbox of a station, and `gridtie quality` as a host runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gridtie.host import sandbox
from gridtie.quality.tasks import TASKS
from integration.station import Station
from standins.router import ROOT


@pytest.mark.parametrize("name", ["python-group-by-first", *(name for name in TASKS if name.startswith("shell-"))])
def test_right_and_wrong_are_told_apart_in_the_sandbox(station: Station, name: str) -> None:
    task, box = TASKS[name], sandbox.find(station.config)

    assert task.check(task.right[0], box.run) == ""
    assert task.check(task.wrong[0], box.run) != ""


def test_a_host_tries_from_the_routers_image_and_runs_the_code_itself(
    embedded_station: Station, tmp_path: Path
) -> None:
    """Two short tasks, a real engine, a real sandbox: whatever the model knows, both are judged, and have a price."""
    prompt = 'def {name}(n):\n    """Return n plus {plus}."""\n'
    test = "def check(candidate):\n    assert candidate(1) == 1 + {plus}\n"
    rows = [
        {"task_id": f"add/{plus}", "prompt": prompt.format(name="add", plus=plus), "entry_point": "add",
         "test": test.format(plus=plus)}
        for plus in (1, 2)
    ]  # fmt: skip
    (tmp_path / "adds.jsonl").write_text("\n".join(map(json.dumps, rows)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "GRIDTIE_CONFIG_DIR": str(embedded_station.config)}
    ran = subprocess.run(
        [sys.executable, "-m", "gridtie.host", "quality", "smoke-test", "--set", "adds.jsonl", "--json", "told.json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    assert ran.returncode == 0, ran.stderr
    assert "set adds" in ran.stdout
    told: Any = json.loads((tmp_path / "told.json").read_text())
    assert told["categories"][-1]["rate"]["total"] == 2
    assert not told["left_out"]
    assert (told["run"]["quantisation"], told["facts"]["engine"]) != ("", "")
    for line in told["categories"]:
        assert (line["usd"] is None) == (line["rate"]["passed"] == 0)
