"""Models that were added by hand stand beside what is declared, in later runs too, until they are removed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.fit.placement import Budget
from gridtie.host.models.added import Added, read_added
from gridtie.host.models.download import Fetcher
from gridtie.host.models.entries import Entry
from gridtie.host.models.install import InstallError
from gridtie.host.models.store import Store
from standins import httpd, shape_gguf
from standins.model_registry import serving
from standins.model_station import AMPLE, SHAPE, ModelStation


@pytest.fixture
def station(tmp_path: Path) -> Iterator[ModelStation]:
    with serving() as registry:
        yield ModelStation(tmp_path, registry)


def by_hand(entry: Entry, source: str = "ollama") -> Added:
    return Added(entry, source, "alice", "2026-11-29")


CODER = by_hand(Entry("coder:1b", 4096))


def published(station: ModelStation, name: str = "other:2b") -> tuple[str, bytes]:
    """Another model of the library; the digest of its manifest and its file."""
    path = station.directories.root.parent / "other.gguf"
    shape_gguf.write(path, replace(SHAPE, vocab_size=200))
    return station.registry.add_model(name, path.read_bytes()).digest[7:], path.read_bytes()


def contexts(models: Any) -> dict[str, int]:
    return {model["catalogue"]: model["context"] for model in models}


@pytest.mark.parametrize("engine", ["ollama", "embedded"])
def test_what_was_added_is_served_and_a_later_run_changes_nothing(station: ModelStation, engine: str) -> None:
    station.provision(models=[], engine=engine)
    done = station.provision(models=[], engine=engine, add=[CODER])
    station.registry.requests.clear()
    later = station.provision(models=[], engine=engine, budget=pytest.fail, probe=pytest.fail)

    assert contexts(done.models) == {"probe:1m": 8192, "coder:1b": 4096}
    assert later.models == done.models and not later.changed and not station.registry.requests
    assert [model.get("added") for model in later.models] == [None, "alice, 2026-11-29"]
    assert later.models[1]["why"] == "added by alice, 2026-11-29"


def test_a_run_that_prunes_leaves_what_was_added(station: ModelStation) -> None:
    manifest, _ = published(station)
    station.provision(models=["coder:1b"])
    station.provision(models=["coder:1b"], add=[by_hand(Entry("mine:2b", 2048, ollama="other:2b", manifest=manifest))])
    done = station.provision(models=[], prune=True)

    assert sorted(station.store().names()) == ["gridtie/mine:2b", "gridtie/probe:1m", "other:2b"]
    assert any(remark.startswith("removed: coder:1b, gridtie/coder:1b") for remark in done.remarks)


def test_what_was_added_stays_behind_what_is_declared_whatever_changes_there(station: ModelStation) -> None:
    """The embedded engine gives each model a port by its place: those that are there keep theirs."""
    manifest, _ = published(station)
    mine = by_hand(Entry("mine:2b", 2048, ollama="other:2b", manifest=manifest))
    before = station.provision(engine="embedded").models
    after = station.provision(engine="embedded", add=[mine]).models

    assert after[: len(before)] == before and after[-1]["catalogue"] == "mine:2b"
    listing = json.loads(station.directories.embedded_list.read_text())
    assert [each["port"] for each in listing] == [8080, 8081, 8082]


def test_it_is_held_to_the_digest_that_it_came_with(station: ModelStation) -> None:
    station.provision(models=[], add=[CODER])
    (kept,) = read_added(station.directories.added)
    assert kept.pin.manifest == station.manifest.digest[7:]

    for name in ("gridtie/coder:1b", "coder:1b"):
        station.store().remove(name)
    station.registry.add_model("coder:1b", station.weights, b"{}")
    with pytest.raises(InstallError, match="coder:1b was changed upstream"):
        station.provision(models=[])


def test_a_file_whose_hash_nobody_told_is_held_to_what_came(station: ModelStation) -> None:
    station.registry.files["/some/model.gguf"] = station.weights
    station.provision(
        models=[], add=[by_hand(Entry("mine:1", 2048, gguf=f"{station.registry.url}/some/model.gguf"), "gguf")]
    )
    (kept,) = read_added(station.directories.added)

    assert kept.entry.sha256 == hashlib.sha256(station.weights).hexdigest()
    station.registry.files.clear()
    assert not station.provision(models=[]).changed


@pytest.mark.parametrize("prune", [False, True])
def test_what_is_removed_goes_with_the_files_that_nothing_else_needs(station: ModelStation, prune: bool) -> None:
    manifest, weights = published(station)
    mine = by_hand(Entry("mine:2b", 2048, ollama="other:2b", manifest=manifest))
    station.provision(models=["coder:1b"], add=[mine])
    done = station.provision(models=["coder:1b"], remove=["mine:2b"], prune=prune)

    assert contexts(done.models) == {"coder:1b": 32768, "probe:1m": 8192}
    assert sorted(station.store().names()) == ["coder:1b", "gridtie/coder:1b", "gridtie/probe:1m"]
    assert not station.store().blob("sha256:" + hashlib.sha256(weights).hexdigest()).exists()
    assert read_added(station.directories.added) == []


def test_removing_one_leaves_what_a_run_without_pruning_leaves(station: ModelStation) -> None:
    """Only what was asked for goes: a model that is no longer declared stays on the disk until somebody prunes."""
    manifest, _ = published(station)
    station.provision(models=["coder:1b"])
    station.provision(models=[], add=[by_hand(Entry("mine:2b", 2048, ollama="other:2b", manifest=manifest))])
    station.provision(models=[], remove=["mine:2b"])

    assert sorted(station.store().names()) == ["coder:1b", "gridtie/coder:1b", "gridtie/probe:1m"]


def test_a_context_that_was_asked_for_by_hand_counts_where_the_inventory_says_none(station: ModelStation) -> None:
    station.provision(add=[CODER])
    assert contexts(station.provision().models)["coder:1b"] == 4096
    assert contexts(station.provision(models=["coder:1b"]).models)["coder:1b"] == 4096

    declared = station.provision(models=[{"name": "coder:1b", "context": 16384}])
    assert contexts(declared.models)["coder:1b"] == 16384
    assert any("`gridtie models remove coder:1b` forgets the first" in remark for remark in declared.remarks)


def test_it_takes_part_when_a_station_decides_anew(station: ModelStation) -> None:
    """Eight at once need eight caches: what was added is not quietly left out, nor quietly too large."""
    station.provision(models=[], add=[by_hand(Entry("coder:1b", 32768))])
    small = Budget("memory", 1 << 28, 1 << 28, None)

    with pytest.raises(InstallError, match=r"^coder:1b: does not fit.*it was added by hand: `gridtie models remove"):
        station.provision(models=[], parallel=64, budget=lambda: small)


def test_one_that_does_not_run_is_not_remembered(station: ModelStation) -> None:
    station.provision(models=[])
    with httpd.serving() as engine:
        engine.answers["/api/version"] = (200, {"version": "0.32.15"})
        engine.answers["/api/generate"] = (500, {"error": "unknown model architecture: 'odd'"})
        with pytest.raises(InstallError, match="does not run: unknown model architecture"):
            station.provision(models=[], add=[CODER], reach=lambda url: engine.url)

    assert read_added(station.directories.added) == []
    assert contexts(station.provision(models=[]).models) == {"probe:1m": 8192}


def test_what_was_fetched_for_one_that_does_not_run_goes_with_what_is_pruned(station: ModelStation) -> None:
    station.provision(models=[])
    before = set((station.store().root / "blobs").iterdir())
    station.registry.files["/mine.gguf"] = station.weights
    mine = by_hand(Entry("mine:1", 2048, gguf=f"{station.registry.url}/mine.gguf"), "gguf")
    with httpd.serving() as engine:
        engine.answers["/api/version"] = (200, {"version": "0.32.15"})
        engine.answers["/api/generate"] = (500, {"error": "unknown model architecture: 'odd'"})
        with pytest.raises(InstallError, match="does not run"):
            station.provision(models=[], add=[mine], reach=lambda url: engine.url)
    assert set((station.store().root / "blobs").iterdir()) > before, "it stays for another try"

    station.provision(models=[], prune=True)
    assert set((station.store().root / "blobs").iterdir()) == before


@pytest.mark.parametrize("prune", [False, True])
def test_a_file_that_is_in_use_is_no_leftover(station: ModelStation, prune: bool) -> None:
    station.registry.files["/mine.gguf"] = station.weights
    mine = by_hand(Entry("mine:1", 2048, gguf=f"{station.registry.url}/mine.gguf"), "gguf")
    station.provision(models=[], add=[mine])
    station.provision(models=[], prune=prune, add=[by_hand(Entry("coder:1b", 4096))])
    station.provision(models=[], prune=prune, remove=["coder:1b"])

    assert contexts(station.provision(models=[], prune=prune).models) == {"probe:1m": 8192, "mine:1": 2048}
    assert station.store().blob(f"sha256:{hashlib.sha256(station.weights).hexdigest()}").is_file()


def test_a_fetch_that_was_cut_off_is_continued_and_remembered_when_it_is_whole(station: ModelStation) -> None:
    station.provision(models=[])
    station.registry.cut_after = [1 << 20, 1000]
    once = replace(station.order.means, fetcher=Fetcher(tries=1))
    with pytest.raises(InstallError, match="the connection ended after 1000 of"):
        station.provision(models=[], add=[CODER], means=once)
    assert read_added(station.directories.added) == []
    station.registry.requests.clear()
    station.provision(models=[], add=[CODER])

    assert station.registry.ranges(station.manifest.model.digest) == ["bytes=1000-"]
    assert [each.name for each in read_added(station.directories.added)] == ["coder:1b"]


def test_two_at_once_do_not_mix(station: ModelStation) -> None:
    """The second is told, and nothing that the first remembers is lost."""
    station.provision(models=[])

    def second(message: str) -> None:
        if not told:
            told.append(message)
            with pytest.raises(InstallError, match="another run is installing models"):
                station.provision(models=[], add=[by_hand(Entry("probe:1m", 2048), "package")])

    told: list[str] = []
    station.provision(models=[], add=[CODER], means=replace(station.order.means, progress=second), say=second)
    assert told and [each.name for each in read_added(station.directories.added)] == ["coder:1b"]


@pytest.mark.parametrize("text", ["{", '{"schema": 2}', '{"schema": 1, "models": [{"name": "x:1"}]}', "[]"])
def test_a_list_that_cannot_be_read_stops_the_run_and_forgets_nobody(station: ModelStation, text: str) -> None:
    station.provision(models=[])
    station.directories.added.write_text(text)

    with pytest.raises(InstallError, match=r"added\.json has the models that were added by hand and cannot be read"):
        station.provision(models=[], prune=True)


def test_a_station_of_before_has_no_such_list_and_keeps_what_it_has(station: ModelStation) -> None:
    done = station.provision()

    assert not station.directories.added.exists()
    assert not any("added" in model for model in done.models)


def test_the_list_is_roots_alone_since_an_address_may_have_a_password(station: ModelStation) -> None:
    station.provision(models=[], add=[CODER])

    assert station.directories.added.stat().st_mode & 0o777 == 0o600


def test_what_the_catalogue_has_come_to_know_stays_what_was_added(station: ModelStation) -> None:
    manifest, _ = published(station)
    station.provision(models=[], add=[by_hand(Entry("mine:2b", 2048, ollama="other:2b", manifest=manifest))])
    catalogue = station.order.catalogue
    more = replace(catalogue.models["coder:1b"], name="mine:2b")
    done = station.provision(models=[], catalogue=replace(catalogue, models={**catalogue.models, "mine:2b": more}))

    assert contexts(done.models)["mine:2b"] == 2048 and not done.changed


def test_what_the_catalogue_lost_is_told_and_its_files_stay(station: ModelStation) -> None:
    station.provision(models=[], add=[CODER])
    catalogue = station.order.catalogue
    fewer = replace(catalogue, models={"probe:1m": catalogue.models["probe:1m"]})
    done = station.provision(models=[], catalogue=fewer, prune=True)

    assert contexts(done.models) == {"probe:1m": 8192}
    assert any("coder:1b was added by hand" in remark and "not in the catalogue" in remark for remark in done.remarks)
    assert Store.read(station.store(), "gridtie/coder:1b")


def test_check_mode_foretells_it(station: ModelStation) -> None:
    station.provision(models=[], add=[CODER], budget=lambda: AMPLE)
    done = station.provision(models=[], check=True)

    assert not done.changed and contexts(done.models) == {"probe:1m": 8192, "coder:1b": 4096}
