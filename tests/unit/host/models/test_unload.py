"""What a station no longer declares leaves the engine's memory; what is somebody else's stays there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from standins import httpd, model_registry
from standins.model_station import ModelStation


@pytest.fixture
def engine() -> Iterator[httpd.Httpd]:
    with httpd.serving() as server:
        server.answers["/api/version"] = (200, {"version": "0.32.15"})
        server.answers["/api/generate"] = (200, {"response": " there", "eval_count": 4})
        server.answers["/api/ps"] = (200, {"models": []})
        yield server


@pytest.fixture
def station(tmp_path: Path, engine: httpd.Httpd) -> Iterator[ModelStation]:
    with model_registry.serving() as registry:
        found = ModelStation(tmp_path, registry)
        found.order = replace(found.order, reach=lambda url: engine.url)
        yield found


def unloaded(engine: httpd.Httpd) -> list[str]:
    return [each.body["model"] for each in engine.asked if each.path == "/api/generate" and "keep_alive" in each.body]


def held(engine: httpd.Httpd, *models: tuple[str, str]) -> None:
    found = [{"name": name, "digest": digest.partition(":")[2], "size": 1} for name, digest in models]
    engine.answers["/api/ps"] = (200, {"models": found})
    engine.asked.clear()


def test_a_model_that_is_no_longer_declared_is_unloaded(station: ModelStation, engine: httpd.Httpd) -> None:
    """The doctor counted it against the new one, and failed a healthy station until Ollama let go of it."""
    coder, probe = station.provision().models
    held(engine, ("gridtie/coder:1b", coder["digest"]), ("gridtie/probe:1m", probe["digest"]))
    done = station.provision(models=[])

    assert unloaded(engine) == ["gridtie/coder:1b"]
    assert "no longer declared, unloaded from the engine: gridtie/coder:1b" in done.remarks


def test_it_is_unloaded_before_its_name_is_pruned(station: ModelStation, engine: httpd.Httpd) -> None:
    """Ollama answers 404 to a name that it does not list, and keeps the model in memory."""
    coder = station.provision().models[0]
    held(engine, ("gridtie/coder:1b", coder["digest"]))
    listed: list[bool] = []
    reach = station.order.reach
    assert reach

    def looking(url: str) -> str:
        listed.append(station.store().read("gridtie/coder:1b") is not None)
        return reach(url)

    station.provision(models=[], prune=True, reach=looking)
    assert unloaded(engine) == ["gridtie/coder:1b"] and listed[0]
    assert station.store().read("gridtie/coder:1b") is None


def test_what_is_not_the_stations_stays_in_memory(station: ModelStation, engine: httpd.Httpd) -> None:
    station.provision()
    held(engine, ("gridtie/coder:1b", "sha256:" + "0" * 64), ("persons:1", "sha256:" + "1" * 64))
    station.provision(models=[])

    assert unloaded(engine) == []


def test_a_run_that_changes_nothing_asks_the_engine_nothing(station: ModelStation, engine: httpd.Httpd) -> None:
    station.provision()
    held(engine)
    station.provision()

    assert not engine.asked


def test_an_engine_that_cannot_be_asked_fails_no_run_and_what_may_stay_is_told(station: ModelStation) -> None:
    station.provision()
    nowhere = {"reach": lambda url: "http://127.0.0.1:9"}
    done = station.provision(models=[], **nowhere)

    assert any("gridtie/coder:1b may be in the engine's memory until" in remark for remark in done.remarks)
    assert not [remark for remark in station.provision(models=[], **nowhere).remarks if "memory" in remark]


def test_the_embedded_engine_is_asked_nothing_for_it_follows_its_list(
    station: ModelStation, engine: httpd.Httpd
) -> None:
    engine.answers["/health"] = (200, {"status": "ok"})
    engine.answers["/completion"] = (200, {"content": " there", "tokens_predicted": 4})
    station.provision(engine="embedded")
    station.provision(engine="embedded", models=[])

    assert not [each for each in engine.asked if each.path == "/api/ps"]
    assert "coder" not in station.directories.embedded_list.read_text()
