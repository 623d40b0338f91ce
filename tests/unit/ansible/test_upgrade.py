"""What an upgrade has to do, from what is recorded, what is pinned and what runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plugins.module_utils.gridtie_upgrade import Refused, plan

from standins import httpd

ROOT = Path(__file__).resolve().parents[3]
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


VLLM = {"kind": "vllm", "mode": "container", "image": "docker.io/vllm/vllm-openai@sha256:aa"}
VLLM_CHOICE = {**CHOICE, "engine": "vllm", "mode": "container"}


def test_vllm_is_upgraded_without_a_measurement_since_it_tells_no_time() -> None:
    found = plan(station(**VLLM), VLLM_CHOICE, NEW, OLD)

    assert (found["needed"], found["measure"]) == (True, False)
    assert found["before"]["image"] == VLLM["image"]
    assert found["why"] == f"vLLM {OLD} runs, {NEW} is pinned"


@pytest.mark.parametrize(("pinned", "needed"), [(VLLM["image"], False), ("", False), ("elsewhere@sha256:bb", True)])
def test_the_same_version_in_another_image_is_an_upgrade(pinned: str, needed: bool) -> None:
    assert plan(station(**VLLM), VLLM_CHOICE, OLD, OLD, pinned_image=pinned)["needed"] is needed


def test_an_upgrade_of_vllm_that_was_killed_goes_on_without_a_measurement() -> None:
    killed = {**station(NEW, **VLLM), "upgrade": {"before": station(**VLLM)["engine"], "speed": {}}}
    found = plan(killed, VLLM_CHOICE, NEW, OLD)

    assert (found["needed"], found["measure"], found["before"]["version"]) == (True, False, OLD)


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


def run(directory: Path, tasks: list[dict[str, Any]], variables: dict[str, Any]) -> tuple[int, str]:
    """Exit status and output, on one line, of a play on this machine."""
    play = directory / "play.yml"
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local", play]
    done = subprocess.run(
        [*command, "-e", json.dumps({"ansible_python_interpreter": sys.executable, **variables})],
        cwd=ROOT,
        env={**os.environ, "HOME": str(directory), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_a_speed_that_is_judged_and_not_measured_is_refused_before_anything_is_changed(tmp_path: Path) -> None:
    plan_it = {"ansible.builtin.include_role": {"name": "gridtie.gridtie.engine_ollama", "tasks_from": "upgrade_plan"}}

    code, told = run(tmp_path, [plan_it], {"gridtie_upgrade_min_speed": 0.9, "gridtie_upgrade_runs": 4})

    assert code != 0
    assert "gridtie_upgrade_runs is 4, too few for one: set that to 5 or more" in told
    assert "Nothing was changed" in told


def test_where_no_run_wrote_down_what_is_asked_of_models_they_stay_as_they_are_and_that_is_told(tmp_path: Path) -> None:
    """A station of the release before, whose engine is upgraded before the station is."""
    ask = {"models_dir": str(tmp_path), "engine": {"kind": "ollama", "version": NEW}, "models": [{"name": "m"}]}
    wanted = "shown.models == [{'name': 'm'}] and 'no run of this release' in shown.remarks[0] and not shown.changed"

    code, told = run(
        tmp_path,
        [
            {"gridtie.gridtie.gridtie_acceptance": ask, "register": "shown"},
            {"ansible.builtin.assert": {"that": wanted}},
        ],
        {},
    )

    assert code == 0, told


def test_a_slower_version_is_a_warning_unless_a_share_was_asked_for(tmp_path: Path) -> None:
    upgrade = {"before": {"version": OLD}, "to": NEW, "problem": "", "speed": {**SPEED, "text": "40.0 tokens/s"}}
    with httpd.serving() as engine:
        engine.answers["/api/generate"] = (200, {"eval_count": 64, "eval_duration": 3_200_000_000})
        asked = {"model": "m", "url": engine.url, "runs": 5, "before": SPEED}
        measure = {"gridtie.gridtie.gridtie_speed": asked, "register": "_ollama_measured_after"}
        template = ROOT / "roles/engine_ollama/templates/upgrade.txt.j2"
        sum_up = {"ansible.builtin.template": {"src": str(template), "dest": str(tmp_path / "summary"), "mode": "0644"}}
        warned = run(
            tmp_path,
            [measure, sum_up],
            {
                "gridtie_resolved_upgrade": upgrade,
                "gridtie_resolved_verdict": "PASS",
                "_ollama_put_back": "Go back",
                "gridtie_resolved_acceptance": {"models": [], "remarks": ["m: tools failed", "n: tools failed"]},
            },
        )
        refused = run(tmp_path, [{"gridtie.gridtie.gridtie_speed": {**asked, "least_share": 0.9}}], {})

    assert warned[0] == 0, warned[1]
    summary = (tmp_path / "summary").read_text()
    assert "verdict WARNING: slower: 20.0 tokens/s after 40.0 (-50%), beyond chance" in " ".join(summary.split())
    assert "models m: tools failed n: tools failed" in " ".join(summary.split())
    assert refused[0] != 0
    assert "m became slower: 20.0 tokens/s after 40.0 (-50%), beyond chance; allowed was a drop to 90%" in refused[1]
