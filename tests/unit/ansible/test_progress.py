"""Progress reaches the callback's file and never breaks the work."""

from __future__ import annotations

from pathlib import Path

import pytest
from plugins.module_utils.gridtie_progress import ENVIRONMENT_VARIABLE, report


def test_the_file_holds_the_last_message_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "now"
    file.write_text("something long that was said before")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(file))

    report("compiling\n  Ollama")

    assert file.read_text() == "compiling Ollama\n"


def test_a_file_of_another_machine_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "there"))

    report("working")

    assert list(tmp_path.iterdir()) == []
