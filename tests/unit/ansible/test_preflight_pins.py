"""What the preflight adds to its list from the lock, and how the roles go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict
from plugins.action import gridtie_preflight as action

from gridtie.host.fit.agreed import Pick
from gridtie.lock import Choice, choose, read, record

ROOT = Path(__file__).resolve().parents[3]
A, B = "a" * 64, "b" * 64
DEBIAN = "docker.io/library/debian:trixie-slim"
MACHINE: dict[str, Any] = {
    "system": {"id": "debian"}, "architecture": "x86_64", "init": "systemd", "graphics": {},
    "reach": {"registry": {"state": "ok"}},
}  # fmt: skip


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "gridtie.lock.yaml"


def pins(lock: Path, host: str = "alice", usual: Path | None = None, **changes: Any) -> action._Pins:
    given = {
        "mode": "learn", "lock_file": str(lock), "usual": str(usual or lock.with_name("other")), "catalogue": "",
        "lock": "", "artefacts": "", "models": "auto", "choose_again": False, "gpu": "auto", "project": "gridtie",
    }  # fmt: skip
    seen = {
        "machine": MACHINE, "choice": {"engine": "embedded"}, "station": {}, "former_pins": {}, "former_problem": "",
    }  # fmt: skip
    given.update((name, value) for name, value in changes.items() if name in given)
    seen.update((name, value) for name, value in changes.items() if name in seen)
    task_vars = {
        "inventory_hostname": host,
        "ansible_inventory_sources": ["inv"],
        "hostvars": {host: {"gridtie_models_group": "laptops"}},
    }
    return action._Pins(given, seen, task_vars, False)


def found(pins: action._Pins) -> list[str]:
    return [f"{problem['found']} -> {problem['fix']}" for problem in pins.judge()]


def test_where_things_may_be_learned_nothing_stands_in_the_way(lock: Path) -> None:
    learning = pins(lock, models=["qwen2.5-coder:7b"])

    assert found(learning) == []
    assert learning.handed_on() == {"mode": "learn", "former": {}}


def test_where_pins_are_required_every_missing_one_is_in_one_line(lock: Path) -> None:
    fedora = {**MACHINE, "system": {"id": "fedora"}}
    (problem,) = found(pins(lock, mode="require", models=["qwen2.5-coder:7b", "llama3:8b"], machine=fedora))

    assert all(name in problem for name in ("qwen2.5-coder:7b", "llama3:8b", DEBIAN, str(lock)))
    assert 'MODELS="qwen2.5-coder:7b llama3:8b"' in problem
    assert "-i inv --limit alice -e gridtie_pins=learn" in problem


def test_what_the_lock_has_is_not_missed(lock: Path) -> None:
    record(lock, "bob", {"models": {"qwen2.5-coder:7b": {"manifest": A}}})

    assert found(pins(lock, mode="require", models=["qwen2.5-coder:7b"])) == []


def test_auto_and_a_base_of_packages_need_nothing_where_pins_are_required(lock: Path) -> None:
    assert found(pins(lock, mode="require")) == []


def test_what_auto_chose_before_is_held_to_its_pin(lock: Path) -> None:
    # What was added by hand is held to a digest that the host keeps.
    added = {"catalogue": "llama3:8b", "added": "alice, 2026-11-29"}
    station = {"models": [{"catalogue": "qwen2.5-coder:7b"}, {"catalogue": "smollm2:135m"}, added]}

    (problem,) = found(pins(lock, mode="require", station=station))
    assert "the model qwen2.5-coder:7b" in problem
    assert "llama3:8b" not in problem
    assert found(pins(lock, mode="require", station=station, choose_again=True)) == []


def test_of_a_new_host_what_its_group_runs_is_held_to_its_pin(lock: Path) -> None:
    choose(lock, {"laptops": Choice((Pick("qwen2.5-coder:7b", 32768, ("code",)),))})

    (problem,) = found(pins(lock, mode="require"))
    assert "the model qwen2.5-coder:7b" in problem
    assert found(pins(lock, mode="require", choose_again=True)) == []


def test_a_model_with_a_context_of_its_own_is_held_to_its_pin_as_well(lock: Path) -> None:
    named = ["smollm2:135m", {"name": "llama3:8b", "context": 4096}, {"name": "mine:1", "gguf": "/x", "sha256": A}]
    (problem,) = found(pins(lock, mode="require", models=named))

    assert "the model llama3:8b" in problem and "mine:1" not in problem


@pytest.mark.parametrize("models", ["auto", ["qwen2.5-coder:7b"]], ids=str)
def test_what_would_be_learned_where_the_lock_is_lost_stands_in_the_way(lock: Path, models: Any) -> None:
    """A temporary directory, as all of pytest's are."""
    (problem,) = found(pins(lock, usual=lock, models=models))

    assert "temporary directory" in problem
    assert "gridtie_lock_file" in problem


def test_where_the_lock_is_lost_and_all_is_pinned_the_run_goes_on_and_learns_nothing(lock: Path) -> None:
    lost = pins(lock, usual=lock, models=["smollm2:135m"])

    assert found(lost) == []
    assert lost.handed_on()["mode"] == "require"


def test_a_shared_place_lifts_it(lock: Path) -> None:
    assert found(pins(lock, usual=lock.with_name("elsewhere"), models=["qwen2.5-coder:7b"])) == []


@pytest.mark.parametrize("content", ["", "schema: 9\n", "{", "schema: 1\nimages: {x: {digest: abc}}\n"], ids=str)
def test_a_lock_that_cannot_be_used_is_one_line_and_stays_as_it_is(lock: Path, content: str) -> None:
    lock.write_text(content)

    (problem,) = found(pins(lock))
    assert str(lock) in problem
    assert lock.read_text() == content


def test_a_lock_at_a_relative_path_has_its_line_elsewhere() -> None:
    assert found(pins(Path("gridtie.lock.yaml"))) == []


# -- another file of what is pinned ------------------------------------------------------------------------------------

RELEASE = {"engine": "ollama", "mode": "container", "source": "release", "why": "the container registry answered"}


def own_artefacts(directory: Path, **ollama: Any) -> Path:
    """A copy of the project's file with another digest of Ollama's image, or another version."""
    document = yaml.safe_load((ROOT / "config/artefacts.yaml").read_text())
    document["ollama"].update(ollama)
    document["images"]["ollama"].update(digest=None, reference="registry.example.test/ollama/ollama:0.32.15")
    file = directory / "artefacts.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_what_is_needed_goes_by_the_artefacts_that_were_given(lock: Path, tmp_path: Path) -> None:
    assert found(pins(lock, mode="require", choice=RELEASE)) == []

    (problem,) = found(pins(lock, mode="require", choice=RELEASE, artefacts=str(own_artefacts(tmp_path))))
    assert "the image registry.example.test/ollama/ollama:0.32.15" in problem


def test_the_command_that_fills_the_lock_takes_the_same_files_of_variables_and_repeats_no_value(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ImmutableDict(extra_vars=("@mine.yml", "gridtie_ca_key=/secret", '{"gridtie_pins": "require"}'))
    monkeypatch.setattr(context, "CLIARGS", given)

    (problem,) = found(pins(lock, mode="require", choice=RELEASE, artefacts=str(own_artefacts(tmp_path))))
    assert 'make site ARGS="-i inv -e @mine.yml --limit alice -e gridtie_pins=learn"' in problem
    assert "secret" not in problem


def test_a_version_that_nobody_can_compile_here_stands_in_the_way_where_it_would_be(lock: Path, tmp_path: Path) -> None:
    own = str(own_artefacts(tmp_path, packages={"version": "0.32.1", "llama_cpp": "b10000"}))
    compiled = {**RELEASE, "source": "packages", "why": "no registry answered"}

    assert found(pins(lock, choice=RELEASE, artefacts=own)) == []
    (problem,) = found(pins(lock, choice=compiled, artefacts=own))
    assert own in problem
    assert "pins Ollama 0.32.1" in problem
    assert "take over ollama.packages and wheels.xllamacpp" in problem
    assert found(pins(lock, choice=compiled)) == []


def test_a_file_of_before_there_were_two_versions_pins_what_is_compiled_as_well(lock: Path, tmp_path: Path) -> None:
    file = own_artefacts(tmp_path)
    document = yaml.safe_load(file.read_text())
    del document["ollama"]["packages"]
    file.write_text(yaml.safe_dump(document))

    (problem,) = found(pins(lock, choice={**RELEASE, "source": "packages", "why": "x"}, artefacts=str(file)))
    assert f"pins Ollama {document['ollama']['version']}" in problem


def test_artefacts_that_cannot_be_read_have_their_line_elsewhere(lock: Path, tmp_path: Path) -> None:
    assert found(pins(lock, artefacts=str(tmp_path / "none.yaml"))) == []


# -- stations of before there was a lock -------------------------------------------------------------------------------

FORMER = {"models": {"qwen2.5-coder:7b": {"manifest": A}}, "images": {DEBIAN: {"digest": f"sha256:{B}"}}}


def test_what_a_station_recorded_is_taken_over_and_counts_from_then_on_as_the_locks(lock: Path) -> None:
    first = pins(lock, former_pins=FORMER, mode="require", models=["qwen2.5-coder:7b"])
    assert found(first) == [] and first.take_over() == []

    assert read(lock).digests("models") == FORMER["models"]
    second = pins(lock, former_pins={"models": {"qwen2.5-coder:7b": {"manifest": B}}})
    assert found(second) == [] and second.handed_on()["former"] == {}


def test_where_the_lock_is_lost_a_station_is_held_to_what_it_recorded(lock: Path) -> None:
    lost = pins(lock, usual=lock, former_pins=FORMER, models=["qwen2.5-coder:7b"])

    assert found(lost) == [] and lost.take_over() == []
    assert lost.handed_on() == {"mode": "require", "former": FORMER}
    assert not lock.exists()


def test_stations_that_recorded_different_digests_are_told_and_nothing_is_decided_for_them(lock: Path) -> None:
    pins(lock, "bob", former_pins=FORMER).take_over()  # Nothing: it has not been looked at.
    bob = pins(lock, "bob", former_pins=FORMER)
    assert found(bob) == [] and bob.take_over() == []

    (problem,) = found(pins(lock, "alice", former_pins={"models": {"qwen2.5-coder:7b": {"manifest": B}}}))
    assert all(word in problem for word in ("alice", A, "bob", B, "decide"))


def test_stations_that_are_looked_at_in_the_same_moment_are_told_as_well(lock: Path) -> None:
    alice = pins(lock, "alice", former_pins={"models": {"qwen2.5-coder:7b": {"manifest": B}}})
    bob = pins(lock, "bob", former_pins=FORMER)
    assert found(alice) == found(bob) == []
    assert bob.take_over() == []

    (problem,) = alice.take_over()
    assert "decide" in problem["fix"]


def test_each_of_two_stations_on_one_host_is_taken_over(lock: Path) -> None:
    first = pins(lock, former_pins=FORMER)
    second = pins(lock, project="gridtie-test", former_pins={"models": {"llama3:8b": {"manifest": B}}})
    for station in (first, second):
        assert found(station) == [] and station.take_over() == []

    assert sorted(read(lock).digests("models")) == ["llama3:8b", "qwen2.5-coder:7b"]
    assert read(lock).taken_over == ("alice", "alice/gridtie-test")
    again = pins(lock, project="gridtie-test", former_pins={"models": {"llama3:8b": {"manifest": A}}})
    assert found(again) == []


def test_two_stations_on_one_host_that_disagree_are_told_apart(lock: Path) -> None:
    first = pins(lock, former_pins=FORMER)
    assert found(first) == [] and first.take_over() == []

    (problem,) = found(
        pins(lock, project="gridtie-test", former_pins={"models": {"qwen2.5-coder:7b": {"manifest": B}}})
    )
    assert f"alice/gridtie-test found {B}" in problem
    assert "learned by alice" in problem


def test_a_damaged_record_of_a_station_is_one_line(lock: Path) -> None:
    (problem,) = found(pins(lock, former_problem="the pins.json of an earlier version is damaged"))
    assert "alice: the pins.json" in problem
