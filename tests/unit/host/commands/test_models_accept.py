"""`gridtie models accept NAME`: asks again, prints each check, and keeps what was found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.host import cli
from standins.model_engine import MIB, NAME, ModelEngine, serving


@pytest.fixture
def engine() -> Iterator[ModelEngine]:
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def station(tmp_path: Path, engine: ModelEngine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A station with a native engine; its directory of models."""
    model = {
        "name": NAME, "catalogue": "coder:1b", "url": engine.url, "digest": "sha256:abc", "context": 4096,
        "parallel": 1, "capabilities": ["chat", "tools"], "purposes": ["code"], "predicted_bytes": 300 * MIB,
    }  # fmt: skip
    document: dict[str, Any] = {
        "schema": 1,
        "engine": {"kind": "ollama", "mode": "native", "version": "0.32.15"},
        "models": [model],
    }
    (tmp_path / "station.json").write_text(json.dumps(document))
    (tmp_path / "state" / "models").mkdir(parents=True)
    monkeypatch.setenv("GRIDTIE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state" / "models"


@pytest.mark.parametrize("name", ["coder:1b", NAME])
def test_every_check_is_printed_and_the_record_kept(
    name: str, station: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "accept", name]) == 0

    out = capsys.readouterr().out
    assert "ok    tools    10 of 10 calls well-formed" in out and out.splitlines()[-1].startswith(f"{NAME}: accepted")
    (row,) = json.loads((station / "accepted.json").read_text())["accepted"]
    assert (row["digest"], row["engine_version"]) == ("sha256:abc", "0.32.15")


def test_it_asks_again_although_there_is_a_record(engine: ModelEngine, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["models", "accept", "coder:1b"])
    engine.wrong_calls = 10

    assert cli.main(["models", "accept", "coder:1b", "--json"]) == 1
    found = json.loads(capsys.readouterr().out.partition("\n{")[2].join(("{", "")))
    assert found["accepted"] is False


def test_a_name_that_the_station_does_not_have_is_told_with_those_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "accept", "other:1b"]) == 2
    assert "no model 'other:1b'; it has: coder:1b" in capsys.readouterr().err
