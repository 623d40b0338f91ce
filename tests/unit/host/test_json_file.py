"""Small files are replaced at once and readable by nobody whom they are not for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.host.json_file import read_json, write_json


def test_what_is_not_for_everybody_is_not_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def replace(scratch: Path, target: Path) -> Path:
        seen.append(scratch.stat().st_mode & 0o777)
        return rename(scratch, target)

    rename = Path.rename
    monkeypatch.setattr(Path, "replace", replace)
    write_json(tmp_path / "private", {"a": 1}, mode=0o600)

    assert seen == [0o600] and (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_what_a_killed_run_left_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 7)
    (tmp_path / ".x.7").write_text("half")
    write_json(tmp_path / "x", {"a": 1})

    assert read_json(tmp_path / "x") == {"a": 1} and [path.name for path in tmp_path.iterdir()] == ["x"]
