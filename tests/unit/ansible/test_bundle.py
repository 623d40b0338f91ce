"""A bundle for machines without a network: what is taken for one, and what is wrong with it, in a sentence each."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from plugins.action import gridtie_preflight as preflight
from plugins.plugin_utils import gridtie_bundle as bundles
from plugins.plugin_utils.gridtie_collection import version

from gridtie.lock import record

DEBIAN = {"id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"}
MACHINE: dict[str, Any] = {"system": DEBIAN, "architecture": "x86_64", "graphics": {}, "init": "systemd", "reach": {}}
ROUTER, ENGINE = "gridtie/router:1234", "gridtie/engine-embedded:5678"
IMAGES = {"router": ROUTER, "engine": ENGINE}
EMBEDDED = {"engine": "embedded", "mode": "container", "source": "packages"}
FILES = {
    "packages/Packages": b"Package: docker.io\n",
    "packages/docker.io_1_amd64.deb": b"a package",
    f"images/{bundles.place(ROUTER)}/index.json": b"{}",
    f"images/{bundles.place(ENGINE)}/index.json": b"{}",
    "models/blobs/sha256-1": b"weights",
    "wheels/jinja2.whl": b"a wheel",
}


@pytest.fixture(autouse=True)
def own_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which files were hashed is kept in a home directory."""
    monkeypatch.setattr(bundles, "HASHED", tmp_path / "cache" / "bundles.json")


def write(directory: Path, files: dict[str, bytes] = FILES, **facts: Any) -> Path:
    """A bundle of these files, and of other facts where given."""
    sums = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    known = {
        "schema": 1, "version": version(), "system": DEBIAN, "architecture": "x86_64", "python": "3.13.5",
        "engine": {"kind": "embedded", "mode": "container", "source": "packages", "version": "1"},
        "files": {path: len(content) for path, content in files.items()},
    }  # fmt: skip
    manifest = json.dumps({**known, **facts}).encode()
    (directory / "manifest.json").write_bytes(manifest)
    sums["manifest.json"] = hashlib.sha256(manifest).hexdigest()
    (directory / "SHA256SUMS").write_text("".join(f"{sha256}  {path}\n" for path, sha256 in sums.items()))
    return directory


def made(directory: Path, files: dict[str, bytes] = FILES, **facts: Any) -> bundles.Bundle:
    return bundles.read(str(write(directory / "bundle", files, **facts)))


def told(problems: list[dict[str, str]]) -> str:
    return "\n".join(f"{problem['found']} -> {problem['fix']}" for problem in problems)


def unreadable(path: str) -> str:
    with pytest.raises(bundles.BundleError) as error:
        bundles.read(path)
    return told([error.value.problem])


def test_a_whole_bundle_for_this_machine_has_nothing_wrong(tmp_path: Path) -> None:
    bundle = made(tmp_path)

    assert bundles.damaged(bundle) == []
    assert bundles.unfit(bundle, MACHINE, version()) == []
    assert bundles.unmet(bundle, EMBEDDED, IMAGES, []) == []


def test_its_name_changes_with_any_byte_of_it(tmp_path: Path) -> None:
    changed = {**FILES, "models/blobs/sha256-1": b"Weights"}

    assert made(tmp_path / "one").name != made(tmp_path / "two", changed).name


def test_what_hosts_are_given_is_neither_the_controllers_nor_travels_as_an_image(tmp_path: Path) -> None:
    paths = [part["path"] for part in made(tmp_path).parts()]

    assert paths == ["models/blobs/sha256-1", "packages/Packages", "packages/docker.io_1_amd64.deb"]


def test_missing_cut_and_changed_files_are_named_with_what_to_do(tmp_path: Path) -> None:
    bundle = made(tmp_path)
    (bundle.directory / "packages/docker.io_1_amd64.deb").unlink()
    (bundle.directory / "models/blobs/sha256-1").write_bytes(b"weight")
    (bundle.directory / "wheels/jinja2.whl").write_bytes(b"A wheel")

    said = told(bundles.damaged(bundle)).splitlines()

    assert [line.partition(" -> ")[0].removeprefix(f"the bundle {bundle.directory} ") for line in said] == [
        "lacks: packages/docker.io_1_amd64.deb",
        "has cut short: models/blobs/sha256-1 (6 of 7 bytes)",
        "has changed: wheels/jinja2.whl (its sha256 is not the one in SHA256SUMS)",
    ]
    assert all("copy it anew from where it was made, or make it anew there" in line for line in said)


def test_a_file_that_cannot_be_read_is_named_beside_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a stick that wears out: each file is one more line, and not the end of the run."""

    def worn_out(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    bundle = made(tmp_path)
    (bundle.directory / "wheels/jinja2.whl").unlink()
    monkeypatch.setattr(bundles.package("gridtie.host.models.store"), "sha256_of", worn_out)

    said = told(bundles.damaged(bundle))

    assert "lacks: wheels/jinja2.whl" in said
    assert "cannot be read at: " in said
    assert "models/blobs/sha256-1 (Input/output error)" in said
    assert "copy it anew" in said


def test_a_file_that_was_changed_after_it_was_found_whole_is_found(tmp_path: Path) -> None:
    bundle = made(tmp_path)
    assert bundles.damaged(bundle) == []

    (bundle.directory / "wheels/jinja2.whl").write_bytes(b"A wheel")

    assert "has changed: wheels/jinja2.whl" in told(bundles.damaged(bundle))


def test_of_many_lost_files_the_first_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    bundle = made(tmp_path, {f"packages/{number}.deb": b"" for number in range(9)})
    for path in bundle.directory.glob("packages/*.deb"):
        path.unlink()

    assert "packages/4.deb and 4 more" in told(bundles.damaged(bundle))


def test_another_version_system_or_architecture_is_told(tmp_path: Path) -> None:
    ubuntu = {"id": "ubuntu", "version": "24.04", "codename": "noble", "name": "Ubuntu 24.04"}
    bundle = made(tmp_path, version="9.9.9", system=ubuntu, architecture="aarch64")

    said = told(bundles.unfit(bundle, MACHINE, version()))

    assert f"is of version 9.9.9, and this is {version()} -> use the checkout that lies in it" in said
    assert "is for Ubuntu 24.04, and this machine runs Debian GNU/Linux 13 (trixie) -> make one on a machine" in said
    assert "is for aarch64, and this machine is x86_64" in said


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda path: (path / "SHA256SUMS").unlink(), "is not a bundle"),
        (lambda path: (path / "manifest.json").write_text("{}"), "do not belong together"),
        (lambda path: (path / "SHA256SUMS").write_text("<html>"), "do not belong together"),
    ],
    ids=["no list", "another manifest", "not a list"],
)
def test_what_is_no_bundle_is_told(tmp_path: Path, damage: Any, found: str) -> None:
    path = write(tmp_path)
    damage(path)

    assert found in unreadable(str(path))


@pytest.mark.parametrize("path", ["packages/../../outside", "{directory}/outside", "../outside"])
def test_a_list_that_names_files_outside_is_refused(tmp_path: Path, path: str) -> None:
    """What is listed is put on hosts by root, below their own directory."""
    directory = tmp_path / "bundle"
    named = path.format(directory=tmp_path)
    (directory / "packages").mkdir(parents=True)
    write(directory, {**FILES, named: b"anything"})

    assert f"names files outside of the bundle: {named}" in unreadable(str(directory))


def test_a_relative_path_is_told(tmp_path: Path) -> None:
    assert "gridtie_bundle is 'bundles/mine' -> give the bundle's directory by its absolute path" in unreadable(
        "bundles/mine"
    )


def test_a_bundle_of_a_later_form_is_told(tmp_path: Path) -> None:
    assert "is a bundle of schema 2, and this version reads 1" in unreadable(str(write(tmp_path, schema=2)))


def test_images_that_were_made_of_other_files_are_told(tmp_path: Path) -> None:
    said = told(bundles.unmet(made(tmp_path), EMBEDDED, {**IMAGES, "router": "gridtie/router:other"}, []))

    assert "lacks gridtie/router:other, of which this version makes a station" in said


def test_a_release_is_looked_for_by_its_version_and_file(tmp_path: Path) -> None:
    engine = {"kind": "ollama", "mode": "native", "source": "release", "version": "0.32.15"}
    choice = {"engine": "ollama", "mode": "native", "source": "release"}
    files = {**FILES, "releases/0.32.15-ollama.tar.zst": b"archive"}

    assert (
        bundles.unmet(made(tmp_path, files, engine=engine), choice, {"router": ROUTER}, ["0.32.15/ollama.tar.zst"])
        == []
    )
    said = told(
        bundles.unmet(made(tmp_path, files, engine=engine), choice, {"router": ROUTER}, ["0.33.0/ollama.tar.zst"])
    )
    assert "lacks 0.33.0/ollama.tar.zst" in said


def test_an_engine_that_it_does_not_have_is_told(tmp_path: Path) -> None:
    choice = {"engine": "ollama", "mode": "native", "source": "packages"}

    said = told(bundles.unmet(made(tmp_path), choice, IMAGES, []))

    assert "is to have ollama from packages, and the bundle" in said
    assert "has embedded from packages -> leave gridtie_engine" in said


def test_an_ollama_that_was_here_before_needs_no_image_of_an_engine(tmp_path: Path) -> None:
    choice = {"engine": "ollama", "mode": "native", "source": "adopted"}

    assert bundles.unmet(made(tmp_path), choice, {"router": ROUTER, "engine": "none"}, []) == []


def test_what_is_left_open_is_what_the_bundle_has_and_what_is_named_stays(tmp_path: Path) -> None:
    wanted = {"engine": "auto", "mode": "auto", "source": "auto", "mirror_url": ""}

    assert made(tmp_path).asked(wanted) == {**wanted, "engine": "embedded"}
    assert made(tmp_path).asked({**wanted, "engine": "ollama"})["engine"] == "ollama"


def test_digests_that_its_maker_had_learned_hold_where_it_is_used(tmp_path: Path) -> None:
    lock = tmp_path / "lock.yaml"
    record(lock, "maker", {"archives": {"1/ollama.tgz": {"sha256": "a" * 64}}})

    bundle = made(tmp_path, {**FILES, "gridtie.lock.yaml": lock.read_bytes()})

    assert bundle.learned() == {"archives": {"1/ollama.tgz": {"sha256": "a" * 64}}}


def test_every_package_that_a_role_names_is_in_it() -> None:
    """But for drivers and Prometheus, which no bundle has, and Docker's, which it takes from the role's own lists."""
    roles = Path(__file__).parents[3] / "roles"
    named = {
        name
        for path in roles.glob("*/tasks/*.yml")
        if path.parts[-3] != "observability"
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s+names: ", line) and "_gpu_" not in line
        for name in re.findall(r"[a-z0-9]+(?=[\]',])", line)
        if name != "release"
    }

    packed = (roles / "bundle/vars/main.yml").read_text(encoding="utf-8")
    assert named >= {"openssl", "nftables", "zstd", "libgomp1"}
    assert [name for name in sorted(named) if f"'{name}'" not in packed] == []


# --- in the preflight's list ------------------------------------------------------------------------------------------


def judged(directory: Path, seen: dict[str, Any] | None = None, **given: Any) -> str:
    """What the preflight says of a bundle, for a machine that is to have what it has."""
    held = preflight._InBundle(
        {"directory": str(directory), **given}, {"artefacts": "", "project": "gridtie", "gpu": "auto"}
    )
    return told(held.judge({"machine": MACHINE, "choice": EMBEDDED, **(seen or {})}))


def test_without_a_bundle_the_preflight_has_nothing_to_say_of_one() -> None:
    assert preflight._InBundle({"directory": ""}, {}).judge({}) == []


def test_a_bundle_of_other_files_is_told_in_the_preflight(tmp_path: Path) -> None:
    """The two images have the names that were given here, and not those of the checkout's files."""
    assert "of which this version makes a station" in judged(write(tmp_path))


def test_a_bundle_for_something_else_is_told_in_the_preflight(tmp_path: Path) -> None:
    said = judged(write(tmp_path, version="9.9.9", architecture="aarch64"))

    assert f"is of version 9.9.9, and this is {version()}" in said
    assert "is for aarch64, and this machine is x86_64" in said


def test_an_engine_that_it_does_not_have_is_told_in_the_preflight(tmp_path: Path) -> None:
    choice = {"engine": "ollama", "mode": "native", "source": "packages"}

    assert "this station is to have ollama from packages" in judged(write(tmp_path), {"choice": choice})


def test_a_directory_that_is_no_bundle_is_told_in_the_preflight(tmp_path: Path) -> None:
    assert f"{tmp_path} is not a bundle" in judged(tmp_path)


def test_drivers_are_not_installed_from_a_bundle(tmp_path: Path) -> None:
    assert "a bundle has no drivers of graphics cards" in judged(write(tmp_path), drivers=True)


def test_the_machine_is_judged_as_one_that_reaches_what_the_bundle_has(tmp_path: Path) -> None:
    arguments = {"wanted": {"engine": "auto", "mode": "auto", "source": "auto"}, "machine": {"reach": {}}}
    held = preflight._InBundle({"directory": str(write(tmp_path))}, {})
    held.stand_in(arguments)
    answer = {"choice": {**EMBEDDED, "why": "gridtie_engine is embedded"}}
    held.explain(answer)

    assert arguments["wanted"]["engine"] == "embedded"
    assert {name: found["state"] for name, found in arguments["machine"]["reach"].items()} == dict.fromkeys(
        ("apt", "pypi", "go"), "ok"
    )
    assert answer["choice"]["why"] == "the bundle has it"
