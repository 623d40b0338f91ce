"""What the router's image holds of the package is enough for a benchmark."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from plugins.action.gridtie_image import read_tree
from plugins.module_utils.gridtie_image_plan import router_step

from gridtie.bench.results import read
from standins.bench import Bench
from standins.router import ROOT


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The files of the router's image."""
    directory = tmp_path / "image"
    for name, content in router_step(read_tree(ROOT), "gridtie", "packages")["files"].items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def test_it_measures_from_the_files_of_the_routers_image_alone(bench: Bench, image: Path) -> None:
    path = bench.directory / "inside.jsonl"
    words = ["coder", "--profile=chat", "--concurrency=1", "--requests=2", "--rounds=1", f"--out={path}"]
    ended: list[tuple[int | None, str]] = []

    async def inside(here: Bench) -> None:
        keys = {name: os.environ[name] for name in ("PATH", "GRIDTIE_CONFIG_DIR")}
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gridtie.bench", *words, f"--meter={here.directory / 'samples.jsonl'}"),
            f"--html={here.directory / 'page.html'}",
            env={**keys, "PYTHONPATH": str(image)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=here.directory,
        )
        _, told = await child.communicate()
        ended.append((child.returncode, told.decode()))

    bench.command("here/nothing", meanwhile=inside)

    assert ended[0][0] == 0, ended[0][1]
    assert len(read(path).requests) == 4
    assert (bench.directory / "page.html").read_text().startswith("<!DOCTYPE html>")
