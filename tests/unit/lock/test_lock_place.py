"""Where a lock lasts, and where it would be lost after the run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gridtie.lock import not_kept, place


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The usual place, in a directory that counts as one that lasts."""
    monkeypatch.setattr(place, "_temporary", list)
    monkeypatch.setattr(place, "_in_container", lambda: False)
    monkeypatch.setattr(place, "_started_by", lambda program: False)
    return tmp_path / "gridtie.lock.yaml"


def test_beside_an_inventory_that_can_be_written_to_it_is_kept(kept: Path) -> None:
    assert not_kept(kept, kept, local=False) == ""


def test_a_temporary_directory_does_not_last(tmp_path: Path) -> None:
    lock = tmp_path / "gridtie.lock.yaml"

    assert "temporary" in not_kept(lock, lock, local=False)


def test_a_checkout_that_somebody_tries_on_one_machine_may_lie_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "_started_by", lambda program: False)
    lock = tmp_path / "gridtie.lock.yaml"

    assert not_kept(lock, lock, local=True) == ""


def test_an_installed_collection_is_replaced_whole(kept: Path) -> None:
    """Without an inventory's file, the usual place is beside the playbook."""
    lock = kept.parent / "playbooks/gridtie.lock.yaml"
    lock.parent.mkdir()
    (kept.parent / "MANIFEST.json").write_text("{}")

    assert "installed collection" in not_kept(lock, lock, local=True)


def test_a_place_that_somebody_named_is_believed_to_last(tmp_path: Path, kept: Path) -> None:
    assert not_kept(tmp_path / "shared.yaml", kept, local=False) == ""


def test_but_it_has_to_be_there_and_to_be_writable(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no directory" in not_kept(kept.parent / "none" / "lock.yaml", kept, local=False)

    # Root may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "cannot be written to" in not_kept(kept.parent / "shared.yaml", kept, local=False)


def test_with_ansible_pull_every_host_would_have_its_own(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled = kept.parent / ".ansible/pull/laptop/inventories/team/gridtie.lock.yaml"
    pulled.parent.mkdir(parents=True)
    assert "ansible-pull" in not_kept(pulled, pulled, local=True)

    monkeypatch.setattr(place, "_started_by", lambda program: program == "ansible-pull")
    assert "ansible-pull" in not_kept(kept, kept, local=True)


def test_a_program_that_this_process_comes_from_is_found_and_another_is_not() -> None:
    parent = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().split(b"\0")[0].decode()

    assert place._started_by(Path(parent).name)
    assert not place._started_by("ansible-pull")


def test_a_containers_own_disk_is_lost_while_the_hosts_stay(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_in_container", lambda: True)
    same = kept.parent.stat().st_dev == Path("/").stat().st_dev

    assert ("container" in not_kept(kept, kept, local=False)) == same
    # The machine that is provisioned is that container: it is lost with the lock.
    assert not_kept(kept, kept, local=True) == ""


def test_the_copy_in_an_execution_environment_is_lost(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "_RUNNER", kept.parent)

    assert "execution environment" in not_kept(kept, kept, local=False)


OVERLAY = "639 579 0:59 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A"
DIRECTORY = "639 579 254:0 /var/lib/docker/vfs/dir/6c1f / rw,relatime - ext4 /dev/vda rw,discard"
DISK = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard"


@pytest.mark.parametrize(
    ("mark", "mounts", "container"),
    [
        (".dockerenv", OVERLAY, True),
        ("run/.containerenv", OVERLAY, True),
        (".dockerenv", DIRECTORY, True),
        (".dockerenv", "", True),
        ("etc/hostname", OVERLAY, False),
        # A virtual machine whose disk was filled from an image.
        (".dockerenv", DISK, False),
    ],
)
def test_a_machine_that_was_made_from_an_image_is_no_container_where_its_disk_is_its_own(
    tmp_path: Path, mark: str, mounts: str, container: bool
) -> None:
    for name, content in {mark: "", "proc/self/mountinfo": f"{mounts}\n30 27 0:4 / /proc rw - proc proc rw\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)

    assert place._in_container(tmp_path) is container
