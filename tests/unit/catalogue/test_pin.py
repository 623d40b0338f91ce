"""The lock is written by a command that asks the sources; nothing else changes it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.catalogue import load_lock
from gridtie.catalogue.pin import adopt, update, write
from gridtie.host.catalogue import Pin
from gridtie.lock import read, record
from standins.model_registry import serving
from standins.model_station import ModelStation

ROOT = Path(__file__).parents[3]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[ModelStation]:
    with serving() as registry:
        yield ModelStation(tmp_path, registry)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "models.lock.yaml"
    path.write_text("# Why this file is.\nschema: 1\n\nmodels:\n  old:1b:\n    gguf: " + "a" * 64 + "\n")
    return path


def pins_of(station: ModelStation) -> dict[str, Pin]:
    wheel = (station.asked.parent / "probe-1.0-py3-none-any.whl").read_bytes()
    coder = Pin(gguf=station.manifest.model.digest[7:], manifest=station.manifest.digest[7:])
    probe = Pin(hashlib.sha256(station.probe).hexdigest(), hashlib.sha256(wheel).hexdigest())
    return {"coder:1b": coder, "probe:1m": probe}


def test_every_source_is_asked_for_its_hashes(station: ModelStation) -> None:
    said: list[str] = []
    found, problems = update(station.order.catalogue, {}, [], station.order.means, said.append)

    assert found == pins_of(station) and problems == []
    assert said[0].startswith("coder:1b: not pinned -> ") and len(said) == 2


def test_only_what_is_named_is_asked_and_the_rest_stays(station: ModelStation) -> None:
    before = {"probe:1m": Pin(gguf="2" * 64), "coder:1b": Pin(manifest="3" * 64)}
    found, _ = update(station.order.catalogue, before, ["coder:1b"], station.order.means, lambda line: None)

    assert found == {"coder:1b": pins_of(station)["coder:1b"], "probe:1m": before["probe:1m"]}


def test_what_cannot_be_asked_keeps_its_pin_and_is_told(station: ModelStation) -> None:
    station.registry.files.clear()
    before = {"coder:1b": Pin(manifest="3" * 64)}
    found, problems = update(station.order.catalogue, before, [], station.order.means, lambda line: None)

    assert found["coder:1b"] == before["coder:1b"] and "probe:1m" in found
    assert len(problems) == 1 and problems[0].startswith("coder:1b: ") and "HTTP 404" in problems[0]


def test_a_name_that_nobody_knows_is_refused_before_anything_is_asked(station: ModelStation) -> None:
    with pytest.raises(KeyError, match="did you mean coder:1b"):
        update(station.order.catalogue, {}, ["probe:1m", "coder:1"], station.order.means, lambda line: None)
    assert not station.asked.exists()


def test_what_was_pinned_is_what_a_strict_station_takes(station: ModelStation) -> None:
    found, _ = update(station.order.catalogue, {}, [], station.order.means, lambda line: None)

    assert station.provision(lock=found, require_pins=True).remarks == []


def test_the_file_keeps_its_comments_and_is_read_back(lock: Path) -> None:
    pins = {"new:7b": Pin(gguf="2" * 64, manifest="3" * 64), "old:1b": Pin(gguf="a" * 64)}

    assert write(lock, pins) and not write(lock, pins)
    assert lock.read_text().startswith("# Why this file is.\nschema: 1\n\nmodels:\n  new:7b:\n")
    assert load_lock(lock) == pins


def test_the_projects_own_lock_is_as_the_command_writes_it(tmp_path: Path) -> None:
    copy = tmp_path / "models.lock.yaml"
    copy.write_bytes((ROOT / "config" / "models.lock.yaml").read_bytes())

    assert not write(copy, load_lock(copy))


def test_what_a_station_recorded_is_taken_over_and_changes_no_pin() -> None:
    ours, theirs = Pin(manifest="1" * 64), Pin(manifest="2" * 64, gguf="3" * 64)

    assert adopt({"a:1": ours}, {"a:1": theirs, "b:1": theirs}) == {
        "a:1": Pin(manifest="1" * 64, gguf="3" * 64),
        "b:1": theirs,
    }


def command(*words: object) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "pin_models.py", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_command_pins_for_the_hosts_of_one_inventory(station: ModelStation, lock: Path) -> None:
    """In the place of what one of them learned, since a person has decided; the rest of the lock stays."""
    inventory, project = lock.with_name("gridtie.lock.yaml"), lock.read_bytes()
    image = {"images": {"debian:1": {"digest": f"sha256:{'a' * 64}"}}}
    record(inventory, "alice", {"models": {"codellama:7b": {"manifest": "a" * 64}}, **image})
    manifest = station.registry.add_model("codellama:7b", b"weights")

    command("codellama:7b", "--registry", station.registry.url, "--lock", lock, "--into", inventory)

    found = read(inventory)
    assert found.digests("models")["codellama:7b"]["manifest"] == manifest.digest[7:]
    assert found.entries["models"]["codellama:7b"].learned_by == ""
    assert found.digests("images") == image["images"]
    assert lock.read_bytes() == project


def test_what_the_project_pins_stays_out_of_an_inventorys_lock(station: ModelStation, lock: Path) -> None:
    inventory = lock.with_name("gridtie.lock.yaml")
    lock.write_text("schema: 1\n\nmodels:\n  codellama:7b:\n    manifest: " + "b" * 64 + "\n")
    station.registry.add_model("codellama:7b", b"weights")

    command("codellama:7b", "--registry", station.registry.url, "--lock", lock, "--into", inventory)

    assert read(inventory).digests("models") == {}


def test_what_stations_learned_becomes_the_projects_pin(lock: Path) -> None:
    inventory = lock.with_name("gridtie.lock.yaml")
    record(inventory, "alice", {"models": {"codellama:7b": {"manifest": "b" * 64}}})

    command("--from", inventory, "--lock", lock)

    assert load_lock(lock)["codellama:7b"] == Pin(manifest="b" * 64)


def test_the_command_pins_from_a_mirror(station: ModelStation, lock: Path) -> None:
    station.registry.add_model("codellama:7b", b"weights")
    words = ["codellama:7b", "--registry", station.registry.url, "--lock", lock]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "pin_models.py", *words], capture_output=True, text=True, check=False
    )

    assert (done.returncode, "codellama:7b: not pinned -> " in done.stderr) == (0, True), done.stderr
    assert load_lock(lock)["codellama:7b"].gguf == hashlib.sha256(b"weights").hexdigest()
