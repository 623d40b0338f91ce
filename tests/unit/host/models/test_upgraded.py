"""After an upgrade of the engine the models are described and asked as the next run would, and nothing else happens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gridtie.host.models import standing
from gridtie.host.models.upgraded import NotAsLeft, on_engine, order_without_choice, shown_anew
from standins.model_engine import NAME, ModelEngine
from standins.model_station import ModelStation

OLD, NEW = "0.32.14", "0.32.15"


def upgraded(station: ModelStation) -> ModelStation:
    station.provision(engine_version=OLD)
    station.order = replace(station.order, engine_version=NEW)
    return station


def checks(models: Any) -> dict[str, Any]:
    """What the row of the coder says of its acceptance."""
    return next(dict(model["acceptance"]) for model in models if model["name"] == NAME)


def test_what_is_told_of_the_models_is_what_the_next_run_tells(station: ModelStation, engine: ModelEngine) -> None:
    shown = shown_anew(upgraded(station).order)
    engine.asked.clear()
    done = station.provision()

    assert checks(shown.models)["engine_version"] == NEW
    assert (shown.remarks, shown.faults) == ([], [])
    assert list(done.models) == list(shown.models)
    assert not done.changed and not engine.asked


def test_going_back_to_a_version_that_was_asked_asks_nobody(station: ModelStation, engine: ModelEngine) -> None:
    shown_anew(upgraded(station).order)
    engine.asked.clear()
    shown = shown_anew(replace(station.order, engine_version=OLD))

    assert checks(shown.models)["engine_version"] == OLD
    assert not engine.asked


def test_a_purpose_that_is_lost_is_told_and_is_no_fault(station: ModelStation, engine: ModelEngine) -> None:
    upgraded(station)
    engine.wrong_calls = 10
    shown = shown_anew(station.order)

    assert next(model["purposes"] for model in shown.models if model["name"] == NAME) == ["code"]
    assert any("tools failed: 0 of 10 calls" in remark for remark in shown.remarks)
    assert not shown.faults


def test_a_schema_that_is_not_held_any_more_is_a_fault_until_it_is_held(
    station: ModelStation, engine: ModelEngine
) -> None:
    """The second try of an upgrade that went back for it is no verdict of the day before."""
    upgraded(station)
    engine.schema = False
    assert any(f"{NAME}: schema: " in fault for fault in shown_anew(station.order).faults)

    engine.schema = True
    shown = shown_anew(station.order)

    assert not shown.faults and checks(shown.models)["checks"]["schema"] == "held"


def test_models_that_nobody_could_ask_are_named(station: ModelStation) -> None:
    shown = shown_anew(replace(upgraded(station).order, reach=lambda url: "http://127.0.0.1:9"))

    assert any(f"not asked on this version: {NAME}" in remark for remark in shown.remarks)
    assert not shown.faults


def test_where_a_model_is_missing_nothing_is_fetched_and_nobody_is_asked(
    station: ModelStation, engine: ModelEngine
) -> None:
    upgraded(station)
    station.store().remove(NAME)
    station.registry.requests.clear()
    engine.asked.clear()

    with pytest.raises(NotAsLeft, match="not the models that the last run left"):
        shown_anew(station.order)
    assert not station.registry.requests and not engine.asked


def test_the_order_of_the_last_run_is_taken_up_with_the_engine_that_runs_now(tmp_path: Path) -> None:
    catalogue = tmp_path / "models.json"
    catalogue.write_text(json.dumps({"catalogue": {"schema": 1, "models": []}, "lock": {"schema": 1, "models": {}}}))
    standing.save(asked(tmp_path, catalogue))

    given = on_engine(tmp_path, {"kind": "ollama", "version": NEW, "mode": "native"}, 60)
    order = order_without_choice(given, say=lambda line: None)

    assert (order.engine_version, order.engine_identity, order.accept_s) == (NEW, f"ollama {NEW}", 60)
    assert order.models == ["coder:1b"]
    with pytest.raises(NotAsLeft, match="is not known any more"):
        order.budget()


def test_without_an_order_it_says_that_no_run_left_one(tmp_path: Path) -> None:
    with pytest.raises(NotAsLeft, match="no run of this release has written down what is asked"):
        on_engine(tmp_path, {"kind": "ollama", "version": NEW}, 60)


def test_an_order_that_another_release_wrote_says_what_it_lacks(tmp_path: Path) -> None:
    standing.save({"models_dir": str(tmp_path), "catalogue_json": str(tmp_path / "models.json")})
    (tmp_path / "models.json").write_text('{"lock": {}}')

    with pytest.raises(NotAsLeft, match=r"what the last run wrote down cannot be used .*catalogue"):
        order_without_choice(on_engine(tmp_path, {}, 60), say=lambda line: None)


def asked(models_dir: Path, catalogue: Path) -> dict[str, Any]:
    """The arguments of the module of a run."""
    given = """
        container= adopted_store= ca_bundle= ledger= engine=ollama kv_type=f16 max_download_gb=auto
        registry=https://registry.example ollama_url=http://engine:11434"""
    return {
        **dict(pair.split("=", 1) for pair in given.split()),
        "models_dir": str(models_dir),
        "catalogue_json": str(catalogue),
        "models": ["coder:1b"],
        "purposes": ["code"],
        "parallel": 1,
        "flash_attention": True,
        "engine_version": OLD,
        "stock": False,
        "learned": {},
        "learn": True,
        "docker": {},
        "graphics": False,
        "accept_s": 120,
    }
