"""Copies of a station's models for other machines: checked on the way out, whole or not there, taken over elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.host.cli import main
from gridtie.host.models.export import ExportError, chosen, export
from gridtie.host.models.seed import open_seed
from gridtie.host.models.store import Checked
from standins.model_registry import serving
from standins.model_station import ModelStation


@pytest.fixture
def station(tmp_path: Path) -> Iterator[ModelStation]:
    with serving() as registry:
        found = ModelStation(tmp_path, registry)
        found.provision()
        yield found


def copied(station: ModelStation, target: Path, *names: str) -> Path:
    export(station.store(), chosen(station.store(), names), target, lambda line: None)
    return target


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_a_copy_serves_a_machine_without_a_network(station: ModelStation, tmp_path: Path, name: str) -> None:
    copy = copied(station, tmp_path / name)
    before = station.provision().models
    shutil.rmtree(station.directories.root)
    station.registry.files.clear()
    done = station.provision(seed=copy, probe=lambda: {"ollama": "unplugged", "package": "unplugged"})

    assert [m["digest"] for m in done.models] == [m["digest"] for m in before]


def test_one_model_is_copied_with_the_librarys_manifest_and_without_the_others(
    station: ModelStation, tmp_path: Path
) -> None:
    seed = open_seed(copied(station, tmp_path / "copy.tar", "coder:1b"), Checked(tmp_path / "checked"))
    probe = station.store().read("gridtie/probe:1m")

    assert list(seed.names()) == ["gridtie/coder:1b", "coder:1b"]
    assert probe and seed.holds(probe.model.digest) is None


def test_the_same_models_make_the_same_tar(station: ModelStation, tmp_path: Path) -> None:
    assert copied(station, tmp_path / "a.tar").read_bytes() == copied(station, tmp_path / "b.tar").read_bytes()


@pytest.mark.parametrize("name", ["copy", "copy.tar"])
def test_a_damaged_file_is_found_on_the_way_out(station: ModelStation, tmp_path: Path, name: str) -> None:
    blob = station.store().blob(station.manifest.model.digest)
    blob.write_bytes(bytes(len(station.weights)))

    with pytest.raises(ExportError, match=f"{station.manifest.model.digest} is damaged"):
        copied(station, tmp_path / name)
    assert not (tmp_path / "copy.tar").exists() and not (tmp_path / "copy" / "manifests").exists()


def test_a_copy_that_was_begun_is_continued(station: ModelStation, tmp_path: Path) -> None:
    said: list[str] = []
    copy = copied(station, tmp_path / "copy")
    name = station.manifest.model.digest.replace(":", "-")
    (copy / "blobs" / name).unlink()
    export(station.store(), chosen(station.store(), []), copy, said.append)

    assert len(said) == 1 and (copy / "blobs" / name).read_bytes() == station.weights


def test_a_model_that_is_not_here_is_named(station: ModelStation) -> None:
    with pytest.raises(ExportError, match=r"does not have other:1b; it has: coder:1b, probe:1m"):
        chosen(station.store(), ["other:1b"])


class TestCommand:
    @pytest.fixture(autouse=True)
    def here(self, station: ModelStation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        facts = {"schema": 1, "engine": {"kind": "ollama"}}
        (tmp_path / "station.json").write_text(json.dumps(facts))
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "models").symlink_to(station.directories.root)
        monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
        monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path / "state"))

    def test_it_lists_names_sizes_and_digests(self, station: ModelStation, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "list"]) == 0
        assert station.manifest.digest in capsys.readouterr().out

    def test_it_exports_and_says_what_the_lock_needs(
        self, station: ModelStation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["models", "export", str(tmp_path / "x.tar")]) == 0
        told = capsys.readouterr().out

        assert f"  coder:1b:\n    gguf: {station.manifest.model.digest[7:]}\n" in told
        assert f"    manifest: {station.manifest.digest[7:]}\n" in told and (tmp_path / "x.tar").is_file()

    def test_what_cannot_be_exported_is_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "export", str(tmp_path / "x.tar"), "nothing:1b"]) == 1
        assert capsys.readouterr().err == (
            "gridtie: this station does not have nothing:1b; it has: coder:1b, probe:1m\n"
        )

    def test_a_place_that_cannot_be_written_to_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["models", "export", "/proc/nowhere/x.tar"]) == 1
        assert "No such file or directory" in capsys.readouterr().err
