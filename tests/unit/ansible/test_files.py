"""Files as they shall be, and what a change of them shows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from plugins.module_utils import gridtie_files


def entry(path: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "content": "new\n", "mode": "0640", **more}


def test_a_file_is_written_once_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "file"

    changes = [gridtie_files.ensure_file(entry(path), False) for _ in range(2)]

    assert [bool(change) for change in changes] == [True, False]
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new\n", 0o640)


def test_check_mode_tells_the_change_and_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old\n")

    change = gridtie_files.ensure_file(entry(path), True)

    assert change is not None
    assert (change["diff"]["before"], change["diff"]["after"], path.read_text()) == ("old\n", "new\n", "old\n")


def test_a_secret_never_shows_in_a_diff(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("gt-old-secret\n")

    change = gridtie_files.ensure_file(entry(path, content="gt-new-secret\n", secret=True), False)

    assert change is not None
    assert "gt-" not in str(change["diff"])


def test_a_wrong_mode_alone_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("new\n")
    path.chmod(0o644)

    change = gridtie_files.ensure_file(entry(path), False)

    assert change is not None
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_failed_write_leaves_no_half_written_file_behind(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()

    with pytest.raises(IsADirectoryError):
        gridtie_files.write_atomically(str(path), b"new", 0o644)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_replaces_a_link_and_nothing_else(tmp_path: Path) -> None:
    link = tmp_path / "gridtie"
    link.symlink_to("/old")
    gridtie_files.ensure_link({"path": str(link), "target": "/new"}, False)
    assert str(link.readlink()) == "/new"

    mine = tmp_path / "mine"
    mine.write_text("somebody's own program")
    with pytest.raises(FileExistsError, match="not a link of ours"):
        gridtie_files.ensure_link({"path": str(mine), "target": "/new"}, False)


def test_removal_can_be_repeated(tmp_path: Path) -> None:
    directory = tmp_path / "made"
    (directory / "inside").mkdir(parents=True)

    changes = [gridtie_files.remove(str(directory), False) for _ in range(2)]

    assert [bool(change) for change in changes] == [True, False]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to others")
def test_what_another_user_owned_below_a_directory_is_given_to_its_owner_once(tmp_path: Path) -> None:
    """As the models of a station whose engine was the router's user."""
    models, outside = tmp_path / "models", tmp_path / "outside"
    (models / "blobs").mkdir(parents=True)
    for path in (outside, models / "blobs/sha256-1", models / "blobs/mine"):
        path.write_text("weights")
    (models / "link").symlink_to(outside)
    for path in (models, models / "blobs", models / "blobs/sha256-1", models / "link", outside):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    os.chown(models / "blobs/mine", 12345, 12345)
    wanted = {"path": str(models), "mode": "0755", "owner": 0, "group": 0, "taken_from": "65534"}

    told = gridtie_files.ensure_directory(wanted, True)
    found = [gridtie_files.ensure_directory(wanted, False) for _ in range(2)]

    assert told == found[0]
    assert found[1] is None
    owners = {path.name: path.lstat().st_uid for path in tmp_path.rglob("*")}
    assert owners == {"models": 0, "blobs": 0, "sha256-1": 0, "link": 0, "mine": 12345, "outside": 65534}


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to others")
def test_what_came_before_the_group_was_there_is_given_to_it(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    for name in ("waited", "somebodys", "closed/log"):
        (tmp_path / name).touch(mode=0o640)
    os.chown(tmp_path / "somebodys", -1, 12345)
    os.chown(tmp_path, -1, 65534)
    wanted = {"path": str(tmp_path), "mode": "0750", "group": "65534", "group_taken_from": "root"}

    assert gridtie_files.ensure_directory(wanted, False) is not None
    assert gridtie_files.ensure_directory(wanted, False) is None
    groups = {path.name: path.stat().st_gid for path in tmp_path.rglob("*")}
    assert groups == {"waited": 65534, "somebodys": 12345, "closed": 0, "log": 0}


def test_a_user_who_never_was_here_owned_nothing(tmp_path: Path) -> None:
    wanted = {"path": str(tmp_path), "mode": "0755", "taken_from": "nobody-of-that-name"}
    tmp_path.chmod(0o755)

    assert gridtie_files.ensure_directory(wanted, False) is None
