"""A file is the old one or the new one, and can be read by whom a new file usually can."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gridtie.host.new_file import put


def test_a_file_is_replaced_whole_with_its_bytes_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("before")

    put(tmp_path / "page", "a\r\n€")

    assert (tmp_path / "page").read_bytes() == "a\r\n€".encode()
    assert [each.name for each in tmp_path.iterdir()] == ["page"]


def test_it_is_readable_as_the_umask_says(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        put(tmp_path / "page", "")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)

    assert (tmp_path / "page").stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()

    with pytest.raises(IsADirectoryError):
        put(tmp_path / "page", "text")

    assert [each.name for each in tmp_path.iterdir()] == ["page"]
