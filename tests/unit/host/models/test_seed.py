"""Models that somebody copied to the machine: taken over, checked, linked or copied, never changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.host.catalogue import Pin
from gridtie.host.models.install import InstallError
from gridtie.host.models.seed import SeedError, TarSeed, open_seed
from gridtie.host.models.store import Checked, Store
from standins.model_registry import serving
from standins.model_station import ModelStation

UNPLUGGED = {"ollama": "the library does not answer"}


@pytest.fixture
def station(tmp_path: Path) -> Iterator[ModelStation]:
    with serving() as registry:
        yield ModelStation(tmp_path, registry)


@pytest.fixture
def directory(station: ModelStation, tmp_path: Path) -> Path:
    """The models directory of another machine, and no network on this one."""
    station.provision()
    shutil.copytree(station.directories.root / "ollama", tmp_path / "stick")
    shutil.rmtree(station.directories.root)
    station.registry.files.clear()
    station.registry.requests.clear()
    station.asked.unlink()
    return tmp_path / "stick"


@pytest.fixture(params=["directory", "tar"])
def seed(request: pytest.FixtureRequest, directory: Path, tmp_path: Path) -> Path:
    return directory if request.param == "directory" else packed(directory, tmp_path / "stick.tar")


def packed(directory: Path, target: Path, mode: str = "w", arcname: str = "models") -> Path:
    with tarfile.open(target, mode) as archive:  # type: ignore[call-overload]
        archive.add(directory, arcname=arcname)
    return target


def test_a_station_without_a_network_is_stocked_from_a_seed(station: ModelStation, seed: Path) -> None:
    done = station.provision(seed=seed, probe=lambda: UNPLUGGED)

    assert [m["name"] for m in done.models] == ["gridtie/coder:1b", "gridtie/probe:1m"]
    assert not station.registry.requests and not station.asked.exists()
    assert not station.provision(probe=pytest.fail).changed


def test_what_a_seed_has_is_foretold_without_touching_anything(station: ModelStation, seed: Path) -> None:
    foretold = station.provision(check=True, seed=seed, probe=lambda: UNPLUGGED)

    assert not station.directories.root.exists()
    assert station.provision(seed=seed, probe=lambda: UNPLUGGED).after == foretold.after


def test_files_that_only_root_and_the_engine_can_change_are_linked(station: ModelStation, directory: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
    station.provision(seed=directory)
    blob = station.store().blob(station.manifest.model.digest)

    assert blob.samefile(directory / "blobs" / blob.name)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_file_that_others_can_change_is_copied_and_left_as_it_is(station: ModelStation, directory: Path) -> None:
    name = station.manifest.model.digest.replace(":", "-")
    (directory / "blobs" / name).chmod(0o666)
    station.provision(seed=directory)
    blob = station.store().blob(station.manifest.model.digest)

    assert not blob.samefile(directory / "blobs" / name)
    assert (directory / "blobs" / name).stat().st_mode & 0o777 == 0o666
    assert blob.stat().st_mode & 0o777 == 0o644


def test_damaged_content_is_not_taken_and_named(station: ModelStation, seed: Path) -> None:
    _damage(seed, station.weights)

    with pytest.raises(InstallError) as caught:
        station.provision(seed=seed, probe=dict)
    assert f"{station.manifest.model.digest} is not what its name says" in str(caught.value)
    assert station.store().read("gridtie/coder:1b") is None


def test_damaged_content_is_fetched_where_there_is_a_network(station: ModelStation, seed: Path) -> None:
    _damage(seed, station.weights)
    station.registry.add_model("coder:1b", station.weights)
    done = station.provision(seed=seed)

    assert station.store().blob(station.manifest.model.digest).read_bytes() == station.weights
    assert any("is not what its name says" in remark for remark in done.remarks)


def test_a_seed_with_another_manifest_than_pinned_is_not_used(station: ModelStation, seed: Path) -> None:
    lock = {**station.order.lock, "coder:1b": Pin(manifest="0" * 64)}

    with pytest.raises(InstallError, match=r"coder:1b: cannot be fetched here: the library does not answer"):
        station.provision(seed=seed, lock=lock, models=["coder:1b"], probe=lambda: UNPLUGGED)


def test_a_file_of_the_users_own_may_lie_in_the_seed(station: ModelStation, seed: Path) -> None:
    sha256 = hashlib.sha256(station.weights).hexdigest()
    entry = {"name": "mine:1", "gguf": "https://unreachable.invalid/mine.gguf", "sha256": sha256}
    done = station.provision(models=[entry], seed=seed, probe=lambda: UNPLUGGED)

    assert done.models[0]["name"] == "gridtie/mine:1"


@pytest.mark.parametrize("arcname", [".", "", "var/lib/gridtie/models/ollama"])
def test_it_does_not_matter_which_directory_was_packed(
    station: ModelStation, directory: Path, tmp_path: Path, arcname: str
) -> None:
    tar = packed(directory, tmp_path / "x.tar", arcname=arcname)

    assert station.provision(seed=tar, probe=lambda: UNPLUGGED).changed


def test_a_tars_names_lead_nowhere(tmp_path: Path, directory: Path) -> None:
    """Members are looked up by their digest and never unpacked, whatever a tar calls them."""
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(next((directory / "blobs").iterdir()), arcname="../../blobs/../../etc/passwd")
        archive.add(next((directory / "blobs").iterdir()), arcname="blobs/sha256-" + "0" * 64)
    seed = TarSeed(tmp_path / "x.tar")

    assert not seed.give("sha256:" + "0" * 64, Store(tmp_path / "store"), tmp_path / "scratch")
    assert not (tmp_path / "scratch").exists() and not (tmp_path / "store").exists()


def test_a_models_directory_is_found_inside_the_named_one(
    station: ModelStation, directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "ollama").mkdir()
    directory.rename(tmp_path / "ollama" / "models")

    assert station.provision(seed=tmp_path / "ollama", probe=lambda: UNPLUGGED).changed


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nothing", "is not there; wanted was a directory or a tar"),
        ("empty", r"has no manifests/ and blobs/ in it \(found: x\)"),
        ("compressed", "is not a tar that can be read .* Unpack a compressed one"),
        ("other", r"has no blobs/ in it \(found: x\)"),
    ],
)
def test_what_is_no_seed_is_refused_before_anything_is_done(
    station: ModelStation, tmp_path: Path, kind: str, message: str
) -> None:
    path = tmp_path / kind
    if kind != "nothing":
        path.mkdir()
        (path / "x").touch()
    if kind == "compressed":
        path = packed(path, tmp_path / "x.tar.gz", "w:gz")
    if kind == "other":
        path = packed(path, tmp_path / "x.tar", arcname="")

    with pytest.raises(InstallError, match=f"gridtie_models_seed: .*{message}"):
        station.provision(seed=path)
    assert not station.registry.requests


def test_a_link_takes_no_disk_and_a_copy_its_size(station: ModelStation, directory: Path, tmp_path: Path) -> None:
    digest, store = station.manifest.model.digest, station.store()
    linked = open_seed(directory, Checked(tmp_path / "checked.json"))
    copied = open_seed(packed(directory, tmp_path / "x.tar"), Checked(tmp_path / "checked.json"))

    assert linked.costs(digest, store) == 0
    assert copied.costs(digest, store) == len(station.weights)


def test_a_file_of_another_account_is_copied(station: ModelStation, directory: Path, tmp_path: Path) -> None:
    """Whoever owns a file can change it later."""
    digest = station.manifest.model.digest
    blob = directory / "blobs" / digest.replace(":", "-")
    if os.getuid() == 0:
        os.chown(blob, 12345, 12345)
    seed = open_seed(directory, Checked(tmp_path / "checked.json"))

    assert seed.costs(digest, Store(station.store().root, (os.getuid() + 1, 0))) == len(station.weights)


def test_a_tar_that_is_cut_short_gives_nothing(station: ModelStation, directory: Path, tmp_path: Path) -> None:
    tar = packed(directory, tmp_path / "x.tar")
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])

    with pytest.raises((InstallError, SeedError)):
        station.provision(seed=tar, probe=lambda: UNPLUGGED, models=["coder:1b"])
    assert station.store().read("gridtie/coder:1b") is None


def _damage(seed: Path, weights: bytes) -> None:
    if seed.is_dir():
        name = "sha256-" + hashlib.sha256(weights).hexdigest()
        (seed / "blobs" / name).write_bytes(bytes(len(weights)))
    else:
        content = seed.read_bytes()
        assert weights in content
        seed.write_bytes(content.replace(weights, bytes(len(weights))))


def test_the_library_name_in_a_seed_is_enough_without_our_own(station: ModelStation, directory: Path) -> None:
    """A copy of anybody's models directory, such as ~/.ollama/models."""
    shutil.rmtree(directory / "manifests" / "registry.ollama.ai" / "gridtie")

    assert station.provision(seed=directory, probe=lambda: UNPLUGGED).models[0]["name"] == "gridtie/coder:1b"
