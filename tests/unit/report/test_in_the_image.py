"""What the router's image holds of the package is enough for a report."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from plugins.action.gridtie_image import read_tree
from plugins.module_utils.gridtie_image_plan import router_step

from unit.report.conftest import Make

ROOT = Path(__file__).parents[3]


def test_the_report_runs_from_the_files_of_the_routers_image_alone(ledger_of: Make, tmp_path: Path) -> None:
    image = tmp_path / "image"
    for name, content in router_step(read_tree(ROOT), "gridtie", "packages")["files"].items():
        path = image / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    words = ["--ledger", str(ledger_of()), "--config", str(ROOT / "config"), "--since", "2026-11-20", "--html"]

    done = subprocess.run(
        [sys.executable, "-m", "gridtie.report", *words, "--until=2026-11-24", "--utc-offset=0"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(image)},
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("<!DOCTYPE html>")
