"""What the router's image holds of the package is enough to size a team."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from plugins.action.gridtie_image import read_tree
from plugins.module_utils.gridtie_image_plan import router_step

ROOT = Path(__file__).parents[3]


def test_it_runs_from_the_files_of_the_routers_image_alone(tmp_path: Path) -> None:
    image = tmp_path / "image"
    for name, content in router_step(read_tree(ROOT), "gridtie", "packages")["files"].items():
        path = image / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    config = ROOT / "config"

    done = subprocess.run(
        [sys.executable, "-m", "gridtie.size", "-", f"--config={config}", f"--catalogue={config / 'models.yaml'}"],
        input=(ROOT / "docs" / "size.yaml").read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(image)},
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "one shared server" in done.stdout
