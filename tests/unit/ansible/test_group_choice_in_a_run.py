"""Hosts of an inventory are told the same models, by ansible-playbook itself: what is asked and what is written.

The hosts are this machine; what each has room for is a recorded machine's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.host.fit.agreed import Pick
from gridtie.lock import Choice, Lock, choose, read

ROOT = Path(__file__).resolve().parents[3]
MACHINES = ROOT / "tests/fixtures/hardware"

PLAY = """
- hosts: all
  gather_facts: false
  serial: "{{ waves | default('100%') }}"
  tasks:
    - ansible.builtin.raw: "true"
      changed_when: false
    - ansible.builtin.set_fact:
        _models_member:
          room:
            hardware: "{{ lookup('ansible.builtin.file', machines ~ '/' ~ machine ~ '.json') | from_json }}"
            names: []
            speeds: {}
            former: "{{ former | default(none) }}"
          group: "{{ gridtie_models_group | default('') }}"
          profile: "{{ gridtie_models_profile | default('') }}"
          purposes: "{{ gridtie_models_purposes | default(['code']) }}"
          max_download_gb: auto
          choose_again: "{{ gridtie_models_choose_again | default(false) | bool }}"
          parallel: 1
          kv_type: f16
          flash_attention: true
          gpu: auto
          pins: "{{ gridtie_pins | default('learn') }}"
          choice: {engine: ollama, mode: container, source: release, adopted: {}}
          station: {}
          graphics: {backend: cuda, expected: []}
          mac: false
          library: {state: ok}
      when: gridtie_models | default('auto') == 'auto'
    - gridtie.gridtie.gridtie_group_choice:
        lock_file: "{{ inventory_dir }}/gridtie.lock.yaml"
        usual: /nonexistent/gridtie.lock.yaml
        catalogue: "{{ root }}/config/models.yaml"
        lock: "{{ root }}/config/models.lock.yaml"
        artefacts: ""
      register: groups_told
      run_once: true
    - ansible.builtin.copy:
        dest: "{{ inventory_dir }}/told-{{ inventory_hostname }}.json"
        content: "{{ {'agreed': groups_told.agreed[inventory_hostname] | default({}),
                      'refused': groups_told.refused[inventory_hostname] | default('')} | to_json }}"
"""

LARGE, SMALL, CARD = "nvidia-24gb", "laptop-8gb", "nvidia-8gb"


class Fleet:
    """Hosts by group, each with the machine that it is; `off` cannot be reached."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.lock_file = directory / "gridtie.lock.yaml"
        (directory / "play.yml").write_text(PLAY)

    def run(self, groups: dict[str, dict[str, Any]], *arguments: str, **variables: Any) -> str:
        """What the run says. The value of a host is its machine, or its variables."""
        for old in self._directory.glob("told-*.json"):
            old.unlink()
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "machines": str(MACHINES),
            "root": str(ROOT),
            **variables,
        }
        children = {
            group: {"hosts": {name: self._variables(of) for name, of in hosts.items()}}
            for group, hosts in groups.items()
        }
        document = {"all": {"vars": common, "children": children}}
        (self._directory / "hosts.yml").write_text(yaml.safe_dump(document))
        own = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self._directory / "home"),
            "ANSIBLE_NOCOLOR": "1",
        }
        program = str(Path(sys.executable).parent / "ansible-playbook")
        done = subprocess.run(
            [program, str(self._directory / "play.yml"), "-i", str(self._directory / "hosts.yml"), *arguments],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.code = done.returncode
        return done.stdout + done.stderr

    @staticmethod
    def _variables(of: Any) -> dict[str, Any]:
        if of == "off":
            return {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}
        return {"machine": of} if isinstance(of, str) else dict(of)

    @property
    def told(self) -> dict[str, dict[str, Any]]:
        """What each host that took part was told."""
        paths = self._directory.glob("told-*.json")
        return {path.stem.partition("-")[2]: json.loads(path.read_text()) for path in paths}

    @property
    def models(self) -> dict[str, list[str]]:
        return {host: [m["name"] for m in told["agreed"].get("models", [])] for host, told in self.told.items()}

    @property
    def lock(self) -> Lock:
        return read(self.lock_file)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_each_group_runs_what_fits_on_its_weakest_host_and_the_lock_keeps_it(fleet: Fleet) -> None:
    said = fleet.run({"servers": {"gpu": LARGE}, "workstations": {"alice": LARGE, "bob": CARD}})

    assert fleet.models == {"gpu": ["qwen3.8:27b"], "alice": ["qwen3.5:4b"], "bob": ["qwen3.5:4b"]}, said
    assert {name: choice.measure for name, choice in fleet.lock.choices.items()} == {
        "servers": "gpu",
        "workstations": "bob",
    }
    assert fleet.lock.choices["workstations"].purposes == ("code",)


CHOSEN = Choice((Pick("qwen3.5:4b", 32768, ("code",)),), "bob", ("code",))
TEAM = {"servers": {"gpu": LARGE}, "workstations": {"alice": LARGE, "bob": CARD}}


def test_a_host_that_joins_is_told_the_same_and_one_that_is_too_weak_what_to_do(fleet: Fleet) -> None:
    choose(fleet.lock_file, {"workstations": CHOSEN})

    said = fleet.run({"workstations": {"alice": LARGE, "bob": CARD, "carol": SMALL}})

    assert fleet.models == {"alice": ["qwen3.5:4b"], "bob": ["qwen3.5:4b"], "carol": ["qwen3.5:4b"]}, said
    assert [host for host, told in fleet.told.items() if told["refused"]] == ["carol"]
    refused = fleet.told["carol"]["refused"]
    assert "Nothing has been changed" in refused
    assert "qwen3.5:4b: does not fit: 4.4 GiB at 32768 tokens" in refused
    assert "gridtie_models_group" in refused and "--limit workstations -e gridtie_models_choose_again=true" in refused
    assert "By itself it would get qwen3.5:4b with 8192" in refused
    assert fleet.lock.choices == {"workstations": CHOSEN}


def test_what_is_chosen_is_shown_as_a_table_before_anything_is_fetched(fleet: Fleet) -> None:
    said = fleet.run({**TEAM, "others": {"carol": {"gridtie_models": ["llama3:8b"], "machine": SMALL}}})

    rows = [line.split() for line in said.splitlines() if line.split()[1:2] == ["workstations"]]
    assert [row[:6] for row in rows] == [
        ["alice", "workstations", "qwen3.5:4b", "code", "32768", "4.4"],
        ["bob", "workstations", "qwen3.5:4b", "code", "32768", "4.4"],
    ], said
    assert "the measure" in next(line for line in said.splitlines() if line.split()[:3] == ["bob", *rows[0][1:3]])
    assert "carol" not in fleet.models or fleet.models["carol"] == []
    assert "others" not in fleet.lock.choices


def test_with_a_limit_the_choice_is_made_by_those_at_hand_and_not_written_down(fleet: Fleet) -> None:
    said = fleet.run(TEAM, "--limit", "alice,gpu")

    assert fleet.models == {"alice": ["qwen3.8:27b"], "gpu": ["qwen3.8:27b"]}
    assert list(fleet.lock.choices) == ["servers"]
    assert "not written into the lock: bob could not be counted" in said


def test_a_host_that_is_off_keeps_nobody_waiting(fleet: Fleet) -> None:
    said = fleet.run({"workstations": {"alice": CARD, "bob": "off"}})

    assert fleet.lock.choices["workstations"].measure == "alice"
    assert "decided without bob, which could not be looked at" in said


def test_chosen_again_for_all_the_weakest_is_the_measure_and_for_some_the_lock_stays(fleet: Fleet) -> None:
    choose(fleet.lock_file, {"workstations": CHOSEN})
    larger = {"workstations": {"alice": LARGE, "bob": LARGE}}

    said = fleet.run(larger, "--limit", "alice", "-e", "gridtie_models_choose_again=true")
    assert fleet.models == {"alice": ["qwen3.5:4b"]}
    assert fleet.lock.choices == {"workstations": CHOSEN}
    assert "not chosen anew: bob would not be counted" in said

    fleet.run(larger, "-e", "gridtie_models_choose_again=true")
    assert fleet.models == {"alice": ["qwen3.8:27b"], "bob": ["qwen3.8:27b"]}
    assert [pick.name for pick in fleet.lock.choices["workstations"].picks] == ["qwen3.8:27b"]


def test_a_declared_profile_decides_for_those_at_hand_and_for_those_to_come(fleet: Fleet) -> None:
    profile = str(MACHINES / f"{CARD}.json")

    said = fleet.run(
        {"workstations": {"alice": LARGE, "bob": LARGE}}, "--limit", "alice", gridtie_models_profile=profile
    )

    assert fleet.models == {"alice": ["qwen3.5:4b"]}, said
    assert fleet.lock.choices["workstations"].measure == "the profile nvidia-8gb.json"


def test_what_is_declared_wrongly_for_a_group_stops_its_hosts_alone(fleet: Fleet) -> None:
    lost = {"machine": LARGE, "gridtie_models_profile": "/nonexistent/x.json"}
    agents = {"machine": LARGE, "gridtie_models_purposes": ["agents"]}

    fleet.run({"servers": {"gpu": lost}, "workstations": {"alice": LARGE, "bob": agents}, "ci": {"carol": LARGE}})

    refused = {host: told["refused"] for host, told in fleet.told.items() if told["refused"]}
    assert set(refused) == {"gpu", "alice", "bob"}
    assert "gridtie_models_profile: /nonexistent/x.json cannot be used" in refused["gpu"]
    assert "gridtie fit --json > FILE" in refused["gpu"]
    assert "gridtie_models_purposes differs within the group workstations" in refused["bob"]
    assert list(fleet.lock.choices) == ["ci"]


def test_the_group_is_the_innermost_and_any_other_by_a_variable(fleet: Fleet) -> None:
    fleet.run(
        {
            "berlin": {"alice": LARGE, "bob": {"machine": LARGE, "gridtie_models_group": "builders"}},
            "workstations": {"alice": {}, "bob": {}},
        },
        "--check",
        "-v",
    )
    assert not fleet.lock_file.exists()

    fleet.run(
        {
            "berlin": {"alice": LARGE, "bob": {"machine": LARGE, "gridtie_models_group": "builders"}},
            "workstations": {"alice": {}, "bob": {}},
        }
    )
    assert set(fleet.lock.choices) == {"workstations", "builders"}


def test_in_waves_of_ones_own_it_is_written_once_all_of_them_were_looked_at(fleet: Fleet) -> None:
    said = fleet.run({"workstations": {"alice": LARGE, "bob": CARD}}, "-e", "waves=1")

    assert fleet.models == {"alice": ["qwen3.8:27b"], "bob": ["qwen3.5:4b"]}
    assert "not written into the lock: bob could not be counted" in said
    assert fleet.lock.choices == {"workstations": CHOSEN}


def test_where_pins_are_required_the_choice_is_among_those_that_are_pinned(fleet: Fleet) -> None:
    said = fleet.run({"workstations": {"alice": LARGE}}, gridtie_pins="require")

    assert fleet.models == {"alice": []}
    assert "its digest is not known, and gridtie_pins is require" in said


# -- the role, with what this machine has room for ---------------------------------------------------------------------

ROLE = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: gridtie.gridtie.models
        tasks_from: choose
        public: true
    - ansible.builtin.copy:
        dest: "{{ inventory_dir }}/told-{{ inventory_hostname }}.json"
        content: "{{ {'agreed': gridtie_resolved_group_choice, 'refused': ''} | to_json }}"
"""
HERE: dict[str, Any] = {
    "gridtie_machine": {
        "init": "systemd", "privilege": "none", "memory": {"total": 8 << 30},
        "graphics": {"backend": "", "expected": []},
        "reach": {"ollama": {"state": "unreachable", "url": "https://library.example.test", "detail": "timed out"}},
    },
    "gridtie_docker": {}, "gridtie_station": {},
    "gridtie_resolved_choice": {"engine": "ollama", "mode": "container", "source": "packages", "why": "wanted"},
}  # fmt: skip


def test_the_role_looks_at_real_hosts_and_hands_on_what_fits_on_all_of_them(fleet: Fleet, tmp_path: Path) -> None:
    """The library cannot be reached from here: what a seed of one host has, the other one lacks."""
    (tmp_path / "play.yml").write_text(ROLE)
    seed = tmp_path / "seed/manifests/registry.ollama.ai/library/qwen2.5-coder"
    seed.mkdir(parents=True)
    (seed / "0.5b").write_text("{}")
    (tmp_path / "seed/blobs").mkdir()
    here = {**HERE, "gridtie_state_dir": str(tmp_path / "state"), "gridtie_prefix": str(tmp_path / "prefix")}
    seeded = {"gridtie_models_seed": str(tmp_path / "seed")}

    said = fleet.run({"workstations": {"alice": seeded, "bob": seeded}, "ci": {"carol": {}}}, **here)

    assert fleet.models == {"alice": ["qwen2.5-coder:0.5b"], "bob": ["qwen2.5-coder:0.5b"], "carol": []}, said
    assert fleet.told["alice"]["agreed"]["group"] == "workstations"
    assert "code: no model; the nearest is" in said and "https://library.example.test does not answer" in said
    assert not (tmp_path / "state").exists()
