"""Recorded machines as directories."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gridtie.host.gpu import Survey, read_survey
from gridtie.host.gpu.record import unpack

FIXTURES = Path(__file__).parents[3] / "fixtures/gpu"


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Survey]:
    """A survey of a recorded machine, with lines of the record left out or added."""

    def surveyed(case: str, without: str = "", extra: str = "") -> Survey:
        lines = (FIXTURES / f"{case}.tree").read_text().splitlines()
        kept = [line for line in lines if not (without and without in line)]
        root = Path(tempfile.mkdtemp(prefix=case, dir=tmp_path))
        unpack("\n".join([*kept, extra]), root)
        return read_survey(root)

    return surveyed
