"""What an upgrade has to do, from what is recorded, what is pinned and what runs."""

from __future__ import annotations

from typing import Any

import pytest
from plugins.module_utils.gridtie_upgrade import Refused, plan

OLD, NEW = "0.32.14", "0.32.15"
CHOICE = {"engine": "ollama", "mode": "native", "source": "release", "why": "", "kept": True, "adopted": {}}
SPEED = {"model": "m", "runs": 7, "median": 40.0, "low": 39.0, "high": 41.0}


def station(version: str = OLD, **engine: Any) -> dict[str, Any]:
    base = {"kind": "ollama", "mode": "native", "source": "release", "tree": f"/opt/gridtie/ollama/{version}-0"}
    return {"engine": {**base, "version": version, **engine}, "models": [{"name": "m"}]}


def test_an_older_version_is_measured_and_upgraded() -> None:
    found = plan(station(), CHOICE, NEW, OLD)

    assert found["needed"] and found["measure"]
    assert (found["before"]["version"], found["to"]) == (OLD, NEW)


def test_going_back_by_hand_is_an_upgrade_too() -> None:
    assert plan(station(NEW), CHOICE, OLD, NEW)["needed"]


def test_the_pinned_version_is_left_alone() -> None:
    found = plan(station(NEW), CHOICE, NEW, NEW)

    assert not found["needed"]
    assert f"{NEW} runs already" in found["why"]


def test_an_adopted_ollama_is_never_upgraded_whatever_is_pinned() -> None:
    adopted = station(OLD, adopted=True, source="adopted", unit="ollama.service")
    found = plan(adopted, {**CHOICE, "source": "adopted"}, NEW, OLD)

    assert not found["needed"]
    assert "never upgraded from here" in found["why"]


def test_the_embedded_engine_is_left_to_make_site() -> None:
    found = plan(station(kind="embedded", mode="container"), {**CHOICE, "engine": "embedded"}, NEW, "")

    assert not found["needed"]
    assert "make site" in found["why"]


def test_what_to_run_is_worded_for_those_who_have_no_makefile() -> None:
    theirs = "ansible-playbook gridtie.gridtie.site"
    embedded = station(kind="embedded", mode="container")

    assert f"`{theirs}`" in plan(embedded, CHOICE, NEW, "", site_command=theirs)["why"]
    for found, choice, told in [
        ({}, CHOICE, ""),
        (station(), {**CHOICE, "mode": "container"}, OLD),
        (station(), CHOICE, ""),
    ]:
        with pytest.raises(Refused) as caught:
            plan(found, choice, NEW, told, site_command=theirs)
        assert f"`{theirs}`" in str(caught.value)
        assert "make" not in str(caught.value)


def test_without_a_station_there_is_nothing_to_upgrade() -> None:
    with pytest.raises(Refused, match="no station"):
        plan({}, CHOICE, NEW, "")


@pytest.mark.parametrize(("name", "value"), [("engine", "embedded"), ("mode", "container"), ("source", "packages")])
def test_variables_that_ask_for_another_engine_are_refused(name: str, value: str) -> None:
    with pytest.raises(Refused, match=value):
        plan(station(), {**CHOICE, name: value}, NEW, OLD)


@pytest.mark.parametrize(("told", "found"), [("", "does not answer"), ("0.31.0", r"says that it is 0\.31\.0")])
def test_an_engine_that_is_not_as_recorded_is_no_start(told: str, found: str) -> None:
    with pytest.raises(Refused, match=f"{found}.*make site"):
        plan(station(), CHOICE, NEW, told)


def test_an_engine_that_is_down_is_no_start_even_at_the_pinned_version() -> None:
    with pytest.raises(Refused, match="does not answer"):
        plan(station(NEW), CHOICE, NEW, "")


def test_a_switch_that_was_not_recorded_is_taken_up_without_a_measurement_of_the_wrong_version() -> None:
    found = plan(station(), CHOICE, NEW, NEW)

    assert found["needed"] and not found["measure"]
    assert found["before"]["version"] == OLD


@pytest.mark.parametrize("recorded", [OLD, NEW])
@pytest.mark.parametrize("told", [OLD, NEW, ""])
def test_one_that_was_killed_goes_on_with_the_same_way_back(recorded: str, told: str) -> None:
    killed = {**station(recorded), "upgrade": {"before": station()["engine"], "speed": SPEED}}
    found = plan(killed, CHOICE, NEW, told)

    assert found["needed"] and not found["measure"]
    assert found["before"]["version"] == OLD
    assert found["speed"] == SPEED


@pytest.mark.parametrize(("told", "measure"), [(OLD, True), (NEW, False)])
def test_one_that_was_killed_before_it_knew_the_speed_measures_only_the_version_before(
    told: str, measure: bool
) -> None:
    killed = {**station(), "upgrade": {"before": station()["engine"], "speed": {}}}

    assert plan(killed, CHOICE, NEW, told)["measure"] is measure
