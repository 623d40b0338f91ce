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


def purposes(station: Path) -> tuple[list[str], dict[str, Any]]:
    (model,) = json.loads((station.parents[1] / "station.json").read_text())["models"]
    return model["purposes"], model["acceptance"]


def test_the_router_is_told_at_once_and_gets_a_purpose_back_that_was_lost(engine: ModelEngine, station: Path) -> None:
    path = station.parents[1] / "station.json"
    document = json.loads(path.read_text())
    document["models"][0]["purposes"] = ["agents", "code"]
    path.write_text(json.dumps(document))

    engine.wrong_calls = 10
    assert cli.main(["models", "accept", "coder:1b"]) == 1
    assert purposes(station)[0] == ["code"] and purposes(station)[1]["checks"]["tools"] == "failed"

    assert cli.main(["models", "accept", "coder:1b"]) == 0
    assert purposes(station)[0] == ["agents", "code"]
    assert purposes(station)[1]["checks"]["tools"] == "held" and "intended" not in purposes(station)[1]


def test_a_model_that_is_another_by_the_time_of_the_answer_gets_nothing_of_it(
    engine: ModelEngine, station: Path
) -> None:
    path = station.parents[1] / "station.json"
    plain = engine.answer

    def replaced(asked: str, body: Any) -> Any:
        path.write_text(path.read_text().replace("sha256:abc", "sha256:def"))
        return plain(asked, body)

    engine.answer = replaced  # type: ignore[method-assign]
    assert cli.main(["models", "accept", "coder:1b"]) == 0
    assert "acceptance" not in json.loads(path.read_text())["models"][0]


def test_a_station_of_before_has_no_parallel_and_is_accepted_all_the_same(station: Path) -> None:
    path = station.parents[1] / "station.json"
    document = json.loads(path.read_text())
    for key in ("parallel", "purposes", "catalogue"):
        document["models"][0].pop(key, None)
    path.write_text(json.dumps(document))

    assert cli.main(["models", "accept", NAME]) == 0
    assert json.loads(path.read_text())["models"][0]["acceptance"]["checks"]["tools"] == "held"


@pytest.mark.parametrize(("graphics", "status"), [(False, 1), (True, 0)])
def test_memory_is_judged_by_what_the_engine_computes_on(
    graphics: bool, status: int, engine: ModelEngine, station: Path
) -> None:
    """A card that the engine does not use, or one that it does, is what the playbook found and wrote down."""
    engine.reserved = 340 * MIB
    (station / "order.json").write_text(json.dumps({"schema": 1, "given": {"graphics": graphics}}))

    assert cli.main(["models", "accept", "coder:1b"]) == status


@pytest.mark.parametrize("text", ["0", "-5", "nan", "inf", "soon"])
def test_seconds_that_are_none_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["models", "accept", "coder:1b", "--seconds", text])
    assert "a number of seconds above 0 was expected" in capsys.readouterr().err
