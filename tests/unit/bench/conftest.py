"""What the tests of the benchmark share."""

from __future__ import annotations

from pathlib import Path

import pytest

from standins.bench import Bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    """The command beside a router of its own."""
    return Bench(tmp_path, monkeypatch, capsys)
