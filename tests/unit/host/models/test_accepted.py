"""A run lets every new model show what it can, once; that decides what it is for, now and in the next choice."""

from __future__ import annotations

from typing import Any

from standins.model_engine import NAME, ModelEngine
from standins.model_station import ModelStation


def purposes(station: ModelStation, **changes: object) -> list[str]:
    done = station.provision(**changes)
    return next(list(model["purposes"]) for model in done.models if model["name"] == NAME)


def test_a_model_is_asked_once_and_its_row_says_what_it_showed(station: ModelStation, engine: ModelEngine) -> None:
    first = next(model for model in station.provision().models if model["name"] == NAME)
    assert first["acceptance"]["checks"]["tools"] == "held" and first["acceptance"]["engine_version"] == "0.32.15"
    assert first["purposes"] == ["code", "agents"]

    engine.asked.clear()
    assert not station.provision().changed and not engine.asked


def test_a_newer_engine_is_asked_anew(station: ModelStation, engine: ModelEngine) -> None:
    station.provision()
    engine.asked.clear()
    station.provision(engine_version="0.34.4")

    assert "/api/chat" in engine.asked


def test_under_settings_that_take_other_memory_it_is_asked_anew(station: ModelStation, engine: ModelEngine) -> None:
    station.provision()
    engine.asked.clear()
    done = station.provision(flash_attention=False)

    assert "/api/chat" in engine.asked and all("acceptance" in model for model in done.models)
    engine.asked.clear()
    assert not station.provision(flash_attention=False).changed and not engine.asked


def test_lost_calls_are_told_and_take_the_purpose_away_in_every_later_run(
    station: ModelStation, engine: ModelEngine
) -> None:
    engine.wrong_calls = 10
    done = station.provision()

    assert any("tools failed: 0 of 10 calls" in remark for remark in done.remarks)
    assert purposes(station) == ["code"] == purposes(station, check=True)
    assert purposes(station, engine_version="0.34.4") == ["code", "agents"], "a newer engine may do better"


def test_a_model_whose_calls_failed_here_is_not_chosen_for_agents(station: ModelStation, engine: ModelEngine) -> None:
    engine.wrong_calls = 10
    station.provision()
    done = station.provision(purposes=("agents",), choose_again=True)

    assert [model["catalogue"] for model in done.models] == ["probe:1m"]
    assert "0 of 10 calls well-formed" in done.others["coder:1b"]


def test_nobody_is_asked_where_no_seconds_are_given(station: ModelStation, engine: ModelEngine) -> None:
    assert all("acceptance" not in model for model in station.provision(accept_s=0).models)
    assert "/api/chat" not in engine.asked


def test_an_engine_that_cannot_be_reached_fails_no_run(station: ModelStation, engine: ModelEngine) -> None:
    done = station.provision(reach=lambda url: "http://127.0.0.1:9")

    assert all("acceptance" not in model for model in done.models)


def test_a_server_that_ends_while_it_is_asked_takes_no_other_model_with_it(
    station: ModelStation, engine: ModelEngine
) -> None:
    plain = engine.answer

    def ends(path: str, body: Any) -> Any:
        if path == "/api/chat" and body["model"] == NAME:
            raise ConnectionResetError
        return plain(path, body)

    engine.answer = ends  # type: ignore[method-assign]
    done = station.provision()

    assert ["acceptance" in model for model in done.models] == [False, True]
    assert any(f"{NAME}: what it can is not known" in remark for remark in done.remarks)


def test_the_row_has_the_prediction_in_parts(station: ModelStation) -> None:
    model = station.provision(accept_s=0).models[0]

    assert sum(model["predicted_parts"].values()) == model["predicted_bytes"]
    assert {"weights", "compute", "full attention cache"} <= set(model["predicted_parts"])
