"""`gridtie quality` as a host runs it: from the files of the router's image alone, with code executed by the host."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
from plugins.module_utils.gridtie_image_plan import router_step
from plugins.plugin_utils.gridtie_image_tree import read_tree

from gridtie.host.commands import quality
from gridtie.host.commands.quality_arguments import add_arguments, words
from gridtie.host.sandbox import Execution, Sandbox
from gridtie.quality.results import read
from standins.docker import STATION, place_docker
from standins.router import ROOT
from standins.trusted import trusted_run
from unit.quality.conftest import Command


class Box(Sandbox):
    """Runs here what is the project's own."""

    def run(self, program: str, stdin: str = "") -> Execution:
        return trusted_run(program, stdin)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The files of the router's image."""
    directory = tmp_path / "image"
    for name, content in router_step(read_tree(ROOT), "gridtie", "packages")["files"].items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def test_it_tries_from_the_routers_image_and_the_host_runs_the_code(
    command: Command,
    image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path, asked = place_docker(tmp_path)
    results = tmp_path / "results.jsonl"

    def on_the_host(args: Namespace) -> int:
        station = Path(os.environ["GRIDTIE_CONFIG_DIR"]) / "station.json"
        station.write_text(json.dumps({**json.loads(station.read_text()), "expected": STATION}))
        monkeypatch.setenv("PATH", path)
        monkeypatch.setenv("PYTHONPATH", str(image))
        monkeypatch.setattr(quality.sandbox, "find", lambda *_, **__: Box("image"))
        return quality.run(args)

    tried = command("coder", "--category", "python", "--category", "json", "--out", str(results), run=on_the_host)

    assert tried.status == 0, capfd.readouterr()
    assert {each.task.split("-")[0]: each.why for each in read(results).tries.values()} == {"python": "", "json": ""}
    assert "python    12 of 12" in tried.out
    assert "docker.sock" not in asked.read_text()


@pytest.mark.parametrize(
    "given",
    [
        ["coder", "--category=json", "--category=sql", "--samples=3", "--temperature=0.5", "--spend=0.25"],
        ["--set=/a/b.jsonl", "--resume=/a/c.jsonl", "--json=/a/d.json"],
        ["--compare", "/a/b.jsonl", "/a/c.jsonl"],
    ],
)
def test_the_container_is_asked_what_the_host_was_asked(given: list[str]) -> None:
    parser = ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(given)

    assert parser.parse_args(words(args)) == args
