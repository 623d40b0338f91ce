"""The running engine says what it would reserve for models that are not there: its own dry run, in its container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gridtie.host.fit.memory import MIB, Need, Settings, need_of_file
from gridtie.host.models.dry_run import CannotLoad
from gridtie.host.models.engine_server import EngineServer, find_server
from gridtie.host.models.gguf_file import read_header
from integration.station import Station, processes
from standins import fit_shapes, header_gguf

SOURCES = Path(__file__).parents[2] / "src"


@pytest.fixture(scope="module")
def models(station: Station) -> Path:
    """The directory of the station's models."""
    return Path(station.facts["state_dir"]) / "models"


@pytest.fixture
def server(station: Station, models: Path) -> EngineServer:
    return find_server(station.facts["engine"], models)


def write(path: Path, name: str, architecture: str = "") -> Path:
    """A file as long as the model's, a hole but for its header."""
    shape = next(header for header in fit_shapes.headers() if header.name == name)
    tensors = header_gguf.tensors_of(shape.architecture, shape.keys)
    header_gguf.write(path, architecture or shape.architecture, shape.keys, tensors)
    return path


def ask(server: EngineServer, path: Path, settings: Settings) -> Need:
    header = read_header(path)
    with path.open("rb") as file:
        return server.ask(file.read(header.size), header, settings)


@pytest.mark.parametrize("name", ["qwen3.6-27b", "gpt-oss-20b", "glm-4.7-flash"])
def test_a_model_larger_than_the_machine_is_answered_for_within_two_percent(
    station: Station, server: EngineServer, models: Path, tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / "m.gguf", name)
    settings = Settings(16384, 2)
    said, predicted = ask(server, path, settings), need_of_file(read_header(path), settings)

    assert abs(said.total - predicted.total) <= 0.02 * said.total
    assert (said.kv // MIB, said.state // MIB) == (predicted.kv // MIB, predicted.state // MIB)
    # Neither a server that goes on to load it, nor its file.
    assert path.name not in "\n".join(processes(station.engine))
    assert not list(models.glob(".gridtie-asked-*"))


def test_a_header_that_only_ollamas_own_build_reads_is_told_by_the_engine_itself(
    station: Station, server: EngineServer, tmp_path: Path
) -> None:
    if station.facts["engine"]["source"] != "packages":
        pytest.skip("this engine is Ollama's own build")
    path = write(tmp_path / "m.gguf", "gpt-oss-20b", "gptoss")

    with pytest.raises(CannotLoad, match="unknown model architecture: 'gptoss'"):
        ask(server, path, Settings(8192))


def test_gridtie_fit_says_what_the_engine_says(station: Station, tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", "qwen3-8b")
    done = subprocess.run(
        [sys.executable, "-m", "gridtie.host", "fit", str(path), "--context", "8192", "--free", "30", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(SOURCES), "GRIDTIE_CONFIG_DIR": str(station.config)},
    )
    found = json.loads(done.stdout)

    assert (done.returncode, found["engine"]["warning"], found["engine"]["cannot_load"]) == (0, None, None)
    assert abs(found["engine"]["need"]["total"] - found["need"]["total"]) <= 0.02 * found["need"]["total"]


def test_the_role_asked_about_the_stations_own_models(station: Station, models: Path) -> None:
    said = json.loads((models / "asked.json").read_text())
    predicted = {Path(model["file"]).name: model["predicted_bytes"] for model in station.facts["models"]}
    figures = {key.split()[0].replace(":", "-"): sum(parts.values()) for key, parts in said["said"].items()}

    assert station.facts["engine"]["version"] in said["engine"]
    assert predicted.keys() == figures.keys()
    assert all(abs(predicted[name] - figures[name]) <= 0.02 * figures[name] + MIB for name in predicted)
