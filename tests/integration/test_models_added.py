"""`gridtie models add` and `remove` on real stations: engine, router and command as a person has them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gridtie.host.models.gguf_rewrite import rewrite
from gridtie.host.models.gguf_write import STRING, Key
from gridtie.host.models.store import Store
from integration.station import Station

NAME = "added:135m"
SUDO = [] if os.getuid() == 0 else ["sudo", "-n"]


@pytest.fixture(params=["station", "embedded_station"])
def place(request: pytest.FixtureRequest) -> Iterator[Station]:
    """A station with either engine, whose acceptance of one more model takes some seconds and not two minutes."""
    found: Station = request.getfixturevalue(request.param)
    order = Path(found.facts["state_dir"]) / "models" / "order.json"
    text = order.read_text()
    document = json.loads(text)
    document["given"]["accept_s"] = 10.0
    order.write_text(json.dumps(document))
    try:
        yield found
    finally:
        order.write_text(text)


@pytest.fixture
def file(place: Station, tmp_path: Path) -> Path:
    """A model file that no station has: the small model's, under another title."""
    store = Store(Path(place.facts["state_dir"]) / "models" / place.facts["engine"]["kind"])
    manifest = store.read(next(m["name"] for m in place.facts["models"] if "smoke-test" in m["purposes"]))
    assert manifest
    path = tmp_path / "added.gguf"
    with store.blob(manifest.model.digest).open("rb") as source, path.open("wb") as target:
        rewrite(source, target, (Key("general.name", STRING, f"A model that {place.project} was given by hand"),))
    return path


def gridtie(station: Station, *words: str) -> subprocess.CompletedProcess[str]:
    """The station's own command."""
    program = f"{station.facts['prefix']}/bin/gridtie"
    command = [*SUDO, "env", f"GRIDTIE_CONFIG_DIR={station.config}", program, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@contextmanager
def added(station: Station, path: Path, context: int) -> Iterator[str]:
    """The file as a model of the station; what the command said. Removed in any case."""
    done = gridtie(station, "models", "add", str(path), "--name", NAME, "--context", str(context), "--yes")
    try:
        assert done.returncode == 0, done.stderr
        yield done.stdout
    finally:
        gridtie(station, "models", "remove", NAME)


def blobs(station: Station) -> set[str]:
    store = Path(station.facts["state_dir"]) / "models" / station.facts["engine"]["kind"]
    return {path.name for path in (store / "blobs").iterdir()}


def test_what_was_added_answers_is_examined_and_leaves_nothing(place: Station, file: Path) -> None:
    before = blobs(place)
    with added(place, file, 1024) as told:
        assert f'served as "{NAME}": 1024 tokens of context' in told
        answered = place.chat("What is the capital of France?", model=NAME)
        assert answered.status_code == 200, answered.text
        assert answered.headers["x-gridtie-target"] == f"station/gridtie/{NAME}"

        refused = place.chat("word " * 3000, model=NAME)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert f"gridtie_models: [{{name: {NAME}, context: 4096}}], which takes" in refused.json()["error"]["message"]

        listed = gridtie(place, "models", "list").stdout
        assert any(f"gridtie/{NAME}" in line and "added by " in line for line in listed.splitlines())
        checks = {each["id"]: each for each in json.loads(gridtie(place, "doctor", "--json").stdout)["checks"]}
        for check in ("config.station", "engine.models", "engine.digests", "memory.fit"):
            assert checks[check]["ok"], checks[check]
        assert NAME in checks["engine.models"]["found"]

    gone = place.chat("Hello", model=NAME)
    assert gone.status_code == 404, gone.text
    assert blobs(place) == before
    if place.facts["engine"]["kind"] == "ollama":
        held = httpx.get(place.engine_url() + "/api/ps", timeout=10).json()["models"]
        assert f"gridtie/{NAME}" not in {model["name"] for model in held}


def test_a_file_that_the_engine_cannot_load_is_not_offered_nor_remembered(place: Station, file: Path) -> None:
    """A tensor has a name that llama.cpp does not look for: everything but the engine takes it for a model."""
    file.write_bytes(file.read_bytes().replace(b"output_norm.weight", b"output_form.weight", 1))
    done = gridtie(place, "models", "add", str(file), "--name", "odd:135m", "--context", "1024", "--yes")

    assert done.returncode == 1 and "cannot load it" in done.stderr
    assert "odd:135m" not in (place.config / "station.json").read_text()
    assert gridtie(place, "models", "remove", "odd:135m").returncode == 1
