"""A repository of packages in a directory: apt itself installs from it, and asks nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from plugins.module_utils.gridtie_apt_repository import publish, settings

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="packages are made by dpkg-deb")


def package(directory: Path, name: str, version: str, depends: str = "") -> Path:
    """A package as apt fetches it: the colon of an epoch is written as %3a in its name."""
    root = directory / "root" / name
    (root / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody\nDescription: none\n"
    (root / "DEBIAN/control").write_text(control + (f"Depends: {depends}\n" if depends else ""))
    made = directory / f"{name}_{version.replace(':', '%3a')}_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", root, made], check=True, capture_output=True)
    return made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place for a bundle's packages, with two of which one needs the other."""
    place = tmp_path / "bundle"
    packages = [package(tmp_path, "engine", "1:2.0", "library (>= 1)"), package(tmp_path, "library", "1.5")]
    publish(packages, place / "packages")
    (place / "lists/partial").mkdir(parents=True)
    for name, text in settings(str(place)).items():
        (place / name).write_text(text)
    return place


def apt(place: Path, *arguments: str) -> str:
    """What apt says on a machine where nothing is installed, whose sources are the bundle's."""
    bare = ["-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
    done = subprocess.run(
        ["apt-get", "-q", "-o", f"Dir::Cache::archives={place}/", "-o", "APT::Sandbox::User=", *bare, *arguments],
        env={**os.environ, "APT_CONFIG": str(place / "apt.conf"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_apt_finds_a_package_with_what_it_depends_on_and_knows_no_other_source(place: Path) -> None:
    fetched = apt(place, "update")
    said = apt(place, "install", "--simulate", "engine")

    assert "http" not in fetched
    assert "Inst library (1.5 " in said
    assert "Inst engine (1:2.0 " in said


def test_a_package_that_is_not_the_one_of_the_index_is_refused(place: Path) -> None:
    apt(place, "update")
    (found,) = place.glob("packages/engine_*.deb")
    found.write_bytes(found.read_bytes() + b"more")

    with pytest.raises(AssertionError, match=r"unexpected size|Hash Sum mismatch"):
        apt(place, "install", "--yes", "--download-only", "engine")


def test_a_package_of_before_is_not_in_it_any_more(place: Path, tmp_path: Path) -> None:
    publish([package(tmp_path / "newer", "engine", "3.0")], place / "packages")

    assert sorted(path.name for path in (place / "packages").iterdir()) == ["Packages", "engine_3.0_all.deb"]
