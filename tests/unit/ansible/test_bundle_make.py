"""How a bundle comes to be: whole or not at all, the same of the same files, and with the checkout in it."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest
from plugins.action import gridtie_bundle_make as make
from plugins.plugin_utils import gridtie_bundle as bundles

from unit.ansible.test_bundle import write

FACTS = {"schema": 1, "version": "1.1.0"}


@pytest.fixture(autouse=True)
def own_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "HASHED", tmp_path / "cache" / "bundles.json")


def scratch_with(target: Path, files: dict[str, bytes]) -> Path:
    scratch = target.with_name(f".{target.name}.partial")
    make._begin(scratch, target)
    for path, content in files.items():
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        (scratch / path).unlink(missing_ok=True)
        (scratch / path).write_bytes(content)
    return scratch


def test_what_is_described_is_read_as_a_whole_bundle(tmp_path: Path) -> None:
    scratch = scratch_with(tmp_path / "mine", {"packages/a.deb": b"a package", "wheels/b.whl": b"a wheel"})

    make._describe(scratch, dict(FACTS))
    make._reveal(scratch, tmp_path / "mine")

    bundle = bundles.read(str(tmp_path / "mine"))
    assert bundles.damaged(bundle) == []
    assert set(bundle.sums) == {"packages/a.deb", "wheels/b.whl", "manifest.json"}
    assert bundle.facts["files"] == {"packages/a.deb": 9, "wheels/b.whl": 7}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_same_files_are_the_same_bundle_whenever_it_is_made(tmp_path: Path) -> None:
    first = scratch_with(tmp_path / "mine", {"packages/a.deb": b"a package"})
    make._describe(first, dict(FACTS))
    make._reveal(first, tmp_path / "mine")

    facts = dict(FACTS)
    again = make._describe(scratch_with(tmp_path / "mine", {}), facts)

    assert make._same(tmp_path / "mine", again, facts)
    assert not make._same(tmp_path / "mine", again, {**facts, "architecture": "aarch64"})
    other = make._describe(scratch_with(tmp_path / "mine", {"packages/a.deb": b"another"}), facts)
    assert not make._same(tmp_path / "mine", other, facts)


def test_the_bundle_before_is_untouched_until_the_new_one_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "mine")

    scratch = scratch_with(tmp_path / "mine", {"packages/docker.io_1_amd64.deb": b"newer"})
    make._describe(scratch, dict(FACTS))

    assert bundles.damaged(bundles.read(str(tmp_path / "mine"))) == []
    make._reveal(scratch, tmp_path / "mine")
    assert (tmp_path / "mine/packages/docker.io_1_amd64.deb").read_bytes() == b"newer"


def test_a_lock_that_has_changed_since_does_not_change_the_bundle_before(tmp_path: Path) -> None:
    write(tmp_path / "mine", {"gridtie.lock.yaml": b"old\n"})
    (tmp_path / "lock.yaml").write_text("new\n")

    scratch = scratch_with(tmp_path / "mine", {})
    make._take_lock(tmp_path / "lock.yaml", scratch)

    assert (scratch / "gridtie.lock.yaml").read_text() == "new\n"
    assert bundles.damaged(bundles.read(str(tmp_path / "mine"))) == []


def test_a_lock_that_is_gone_is_not_in_the_next_bundle(tmp_path: Path) -> None:
    write(tmp_path / "mine", {"gridtie.lock.yaml": b"old\n"})

    scratch = scratch_with(tmp_path / "mine", {})
    make._take_lock(tmp_path / "lock.yaml", scratch)

    assert not (scratch / "gridtie.lock.yaml").exists()


def test_an_interrupted_making_is_continued(tmp_path: Path) -> None:
    scratch_with(tmp_path / "mine", {"packages/a.deb": b"a package"})

    again = scratch_with(tmp_path / "mine", {})

    assert (again / "packages/a.deb").read_bytes() == b"a package"


def test_where_files_can_have_one_name_alone_the_next_bundle_begins_with_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a stick (FAT): the kernel says EPERM."""

    def link(source: str, target: str) -> None:
        raise PermissionError(1, "Operation not permitted", source, None, target)

    write(tmp_path / "mine")
    monkeypatch.setattr("os.link", link)

    scratch = scratch_with(tmp_path / "mine", {})

    assert (scratch / "models/blobs/sha256-1").read_bytes() == b"weights"


def test_a_file_that_is_still_arriving_is_no_part(tmp_path: Path) -> None:
    scratch = scratch_with(tmp_path / "mine", {"packages/.a.deb.part": b"a pack"})

    assert make._describe(scratch, dict(FACTS)) == {}


def test_a_checkout_without_git_travels_without_what_is_made_in_it(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    for path in ("Makefile", "src/a.py", ".venv/bin/python", "bundles/x/manifest.json", "src/x.egg-info/PKG-INFO"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("text")
    (root / "collections").mkdir()
    (root / "collections/gridtie").symlink_to("..")

    make._pack_checkout(root, tmp_path / "gridtie-1.1.0.tar.gz")
    first = (tmp_path / "gridtie-1.1.0.tar.gz").read_bytes()
    make._pack_checkout(root, tmp_path / "gridtie-1.1.0.tar.gz")

    assert (tmp_path / "gridtie-1.1.0.tar.gz").read_bytes() == first
    with tarfile.open(tmp_path / "gridtie-1.1.0.tar.gz") as archive:
        names = {member.name.partition("/")[2]: member.linkname for member in archive}
    assert names == {"Makefile": "", "src/a.py": "", "collections/gridtie": ".."}


def names_in(archive: Path) -> set[str]:
    with tarfile.open(archive) as packed:
        return {member.name.partition("/")[2] for member in packed}


def checkout_with(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("text")
    return root


def test_what_somebody_keeps_in_a_checkout_of_git_does_not_travel(tmp_path: Path) -> None:
    """Passwords of vaults, and inventories of one's own with their keys; a stick passes through many hands."""
    root = checkout_with(tmp_path / "checkout", "Makefile", "site.yml")
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    (root / "site.yml").write_text("edited")
    checkout_with(root, "inventories/mine/hosts.yml", ".vault-password", "offline/.mine.partial/packages/a.deb")

    make._pack_checkout(root, root / "offline/.mine.partial/gridtie-1.1.0.tar.gz")

    assert names_in(root / "offline/.mine.partial/gridtie-1.1.0.tar.gz") == {"Makefile", "site.yml"}


def test_neither_inventories_of_ones_own_nor_bundles_travel_with_a_checkout_without_git(tmp_path: Path) -> None:
    ours = [f"inventories/{name}/hosts.yml" for name in ("ci", "cluster", "localhost", "mac", "team")]
    root = checkout_with(tmp_path / "checkout", *ours, "inventories/mine/hosts.yml")
    write(root / "offline/of-yesterday")
    checkout_with(root, "offline/.mine.partial/packages/a.deb")

    make._pack_checkout(root, root / "offline/.mine.partial/gridtie-1.1.0.tar.gz")

    assert names_in(root / "offline/.mine.partial/gridtie-1.1.0.tar.gz") == set(ours)


def test_the_projects_own_inventories_are_known() -> None:
    tracked = subprocess.run(
        ["git", "-C", str(make.ROOT), "ls-files", "inventories"], check=False, capture_output=True, text=True
    ).stdout.split()

    assert {Path(name).parts[1] for name in tracked} <= make._INVENTORIES
