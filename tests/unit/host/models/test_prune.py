"""Pruning takes away what the station installed and nobody declares any more, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.catalogue import Catalogue, OllamaSource
from gridtie.host.models.install import InstallError
from gridtie.host.models.order import Directories
from gridtie.host.models.owned import OwnedModels
from gridtie.host.models.provision import withdraw
from gridtie.host.models.store import Store, build_manifest
from standins.model_registry import serving
from standins.model_station import SHAPE, ModelStation, model


@pytest.fixture
def station(tmp_path: Path) -> Iterator[ModelStation]:
    with serving() as registry:
        yield ModelStation(tmp_path, registry)


@pytest.fixture
def moved_on(station: ModelStation) -> ModelStation:
    """A station that installed coder:1b and wants only the probe now."""
    station.provision()
    station.order = replace(station.order, models=[])
    return station


def names(station: ModelStation) -> list[str]:
    return list(station.store().names())


def test_nothing_is_removed_unless_it_is_asked_for(moved_on: ModelStation) -> None:
    moved_on.provision()

    assert names(moved_on) == ["gridtie/coder:1b", "gridtie/probe:1m", "coder:1b"]


def test_what_is_no_longer_declared_goes_with_its_files(moved_on: ModelStation) -> None:
    done = moved_on.provision(prune=True)

    assert names(moved_on) == ["gridtie/probe:1m"]
    assert not moved_on.store().blob(moved_on.manifest.model.digest).exists()
    assert done.changed and any(r.startswith("removed: coder:1b, gridtie/coder:1b (") for r in done.remarks)
    assert not moved_on.provision(prune=True).changed


def test_check_mode_shows_what_would_go_and_removes_nothing(moved_on: ModelStation) -> None:
    moved_on.provision()
    files = moved_on.files()
    done = moved_on.provision(check=True, prune=True)

    assert done.before["superfluous"] == ["coder:1b", "gridtie/coder:1b"] and done.after["superfluous"] == []
    assert any(r.startswith("to be removed: coder:1b, gridtie/coder:1b (") for r in done.remarks)
    assert moved_on.files() == files


def test_a_model_that_a_person_pulled_stays(moved_on: ModelStation) -> None:
    store = moved_on.store()
    layer = store.add_bytes(b"a person's own", "model")
    store.write("persons:1b", build_manifest(layer, ()))
    moved_on.provision(prune=True)

    assert "persons:1b" in names(moved_on) and store.blob(layer.digest).exists()


def test_a_name_under_which_a_person_put_another_model_stays(moved_on: ModelStation) -> None:
    store = moved_on.store()
    newer = build_manifest(store.add_bytes(b"{}", "config"), moved_on.manifest.layers)
    store.write("coder:1b", newer)
    moved_on.provision(prune=True)

    assert names(moved_on) == ["gridtie/probe:1m", "coder:1b"]
    assert store.blob(moved_on.manifest.model.digest).exists(), "the person's model needs it"


def test_a_file_that_a_model_of_another_registry_needs_stays(moved_on: ModelStation) -> None:
    store = moved_on.store()
    other = store.root / "manifests" / "mirror.example" / "library" / "coder" / "1b"
    other.parent.mkdir(parents=True)
    other.write_bytes(moved_on.manifest.raw)
    moved_on.provision(prune=True)

    assert store.blob(moved_on.manifest.model.digest).exists()


def test_a_model_that_was_there_before_the_station_is_used_and_stays(station: ModelStation) -> None:
    """The library's name was somebody else's; only the served one is the station's."""
    station.provision()
    station.store().remove("gridtie/coder:1b")
    station.directories.owned.unlink()
    station.provision()
    station.order = replace(station.order, models=[])
    station.provision(prune=True)

    assert names(station) == ["gridtie/probe:1m", "coder:1b"]
    assert station.store().blob(station.manifest.model.digest).exists()


def test_a_persons_model_under_the_librarys_name_is_not_replaced(station: ModelStation) -> None:
    """Pinned is one version, a person has another: both are there afterwards, and pruning takes only ours."""
    store = station.store()
    theirs = build_manifest(store.add_bytes(b'{"by": "a person"}', "config"), (store.add_bytes(b"x", "model"),))
    store.write("coder:1b", theirs)
    pin = {"coder:1b": replace(station.order.lock["probe:1m"], gguf="", manifest=station.manifest.digest[7:])}
    station.order = replace(station.order, lock={**station.order.lock, **pin})
    station.provision()

    assert station.store().read("coder:1b") == theirs
    assert not station.provision(probe=pytest.fail).changed
    station.provision(models=[], prune=True)
    assert names(station) == ["gridtie/probe:1m", "coder:1b"]


def test_where_a_manifest_cannot_be_read_nothing_is_removed(moved_on: ModelStation) -> None:
    broken = moved_on.store().manifest_path("broken:1")
    broken.parent.mkdir(parents=True)
    broken.write_text("<html>")

    with pytest.raises(InstallError, match=r"nothing was pruned.*broken/1: not a model manifest"):
        moved_on.provision(prune=True)
    assert "coder:1b" in names(moved_on)


def test_files_whose_removal_was_begun_are_removed_by_the_next_run(moved_on: ModelStation) -> None:
    """Killed between the manifests and the files: no manifest names them any more."""
    store = moved_on.store()
    blobs = [layer.digest for layer in moved_on.manifest.blobs]
    OwnedModels(moved_on.directories.owned).note_deletion("ollama", blobs)
    store.remove("gridtie/coder:1b")
    store.remove("coder:1b")
    done = moved_on.provision(prune=True)

    assert done.changed and not any(store.blob(digest).exists() for digest in blobs)
    assert not moved_on.provision(prune=True).changed


def test_the_other_engines_store_is_pruned_as_well(station: ModelStation) -> None:
    station.provision()
    station.provision(engine="embedded")
    station.provision(engine="embedded", models=[], prune=True)

    assert names(station) == ["gridtie/probe:1m"]
    assert list(station.store("embedded").names()) == ["gridtie/probe:1m"]


def test_a_station_from_before_the_record_knows_its_own_names(moved_on: ModelStation) -> None:
    moved_on.directories.owned.unlink()
    moved_on.provision(prune=True)

    assert names(moved_on) == ["gridtie/probe:1m", "coder:1b"]


def test_a_model_that_cannot_be_judged_yet_is_not_taken_for_a_superfluous_one(station: ModelStation) -> None:
    station.registry.files["/mine.gguf"] = station.weights
    entry = {
        "name": "mine:1",
        "gguf": station.registry.url + "/mine.gguf",
        "sha256": hashlib.sha256(station.weights).hexdigest(),
    }
    station.provision(models=[entry])
    newer = {**entry, "sha256": "0" * 64}

    assert "superfluous" not in station.provision(models=[newer], check=True, prune=True).before


def test_partial_downloads_of_what_is_not_wanted_go(moved_on: ModelStation) -> None:
    moved_on.directories.incoming.mkdir(exist_ok=True)
    (moved_on.directories.incoming / ("sha256-" + "1" * 64)).write_bytes(b"half")
    moved_on.provision()
    assert list(moved_on.directories.incoming.iterdir())

    moved_on.provision(prune=True)
    assert not list(moved_on.directories.incoming.iterdir())


def test_two_models_share_a_file_and_the_one_that_stays_keeps_it(station: ModelStation) -> None:
    station.registry.add_model("twin:1b", station.weights, b'{"stop":["x"]}')
    twin = model("twin:1b", OllamaSource("twin:1b"), ("code",), SHAPE, len(station.weights))
    catalogue = Catalogue({**station.order.catalogue.models, "twin:1b": twin})
    station.order = replace(station.order, catalogue=catalogue, models=["coder:1b", "twin:1b"])
    station.provision()
    assert len([path for path, _ in station.registry.requests if station.manifest.model.digest in path]) == 1

    station.provision(models=["twin:1b"], prune=True)
    assert names(station) == ["gridtie/probe:1m", "gridtie/twin:1b", "twin:1b"]
    assert station.store().blob(station.manifest.model.digest).exists()


def test_from_somebody_elses_store_all_that_the_station_brought_is_withdrawn(
    station: ModelStation, tmp_path: Path
) -> None:
    adopted = Store(tmp_path / "theirs")
    theirs = build_manifest(adopted.add_bytes(b"{}", "config"), ())
    adopted.write("theirs:1b", theirs)
    directories: Any = Directories(station.directories.root, adopted=(adopted.root, (os.getuid(), os.getgid())))
    station.order = replace(
        station.order, directories=directories, means=replace(station.order.means, incoming=directories.incoming)
    )
    station.provision()
    assert list(adopted.names()) == ["gridtie/coder:1b", "gridtie/probe:1m", "coder:1b", "theirs:1b"]

    assert withdraw(directories, check=True)[0].startswith("to be removed: ")
    assert withdraw(directories)[0].startswith("removed: coder:1b, gridtie/coder:1b, gridtie/probe:1m (")
    assert list(adopted.names()) == ["theirs:1b"] and withdraw(directories) == []
    assert sorted(path.name for path in adopted.root.iterdir()) == ["blobs", "manifests"]
    assert [path.name for path in (adopted.root / "blobs").iterdir()] == [theirs.config.digest.replace(":", "-")]


def test_the_record_says_what_was_brought_to_which_engine(station: ModelStation) -> None:
    station.provision()
    record = json.loads(station.directories.owned.read_text())["names"]

    assert list(record) == ["ollama"]
    assert record["ollama"]["coder:1b"] == station.manifest.digest


def test_a_directory_that_becomes_empty_goes(station: ModelStation) -> None:
    store = station.store()
    store.write("a:1", build_manifest(store.add_bytes(b"{}", "config"), ()))
    store.remove("a:1")

    assert not store.manifest_path("a:1").parent.exists()
