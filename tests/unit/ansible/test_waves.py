"""The playbooks of a fleet, with roles that only play their part: who is begun, who is not, what is told of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]

# What each role's file of tasks does here. `behaves` is a host's own variable.
PREFLIGHT: list[dict[str, Any]] = [
    {"name": "Look", "ansible.builtin.raw": "true", "changed_when": False},
    {
        "name": "Judge the machine",
        "ansible.builtin.fail": {"msg": "1 thing stands in the way"},
        "when": "behaves == 'refused'",
    },
    {
        "name": "Hand on",
        "ansible.builtin.set_fact": {
            "gridtie_station": {
                "engine": {"kind": "{{ kind | default('ollama') }}", "version": "1"},
                "models": [{"name": "small"}],
            },
            "gridtie_resolved_choice": {"engine": "ollama"},
        },
    },
]
PLAN = [
    {
        "name": "Plan",
        "ansible.builtin.set_fact": {
            "gridtie_resolved_upgrade": {"needed": "{{ behaves != 'current' }}"},
            "gridtie_resolved_outcome": "{{ {'state': 'unchanged', 'why': '2 runs'} if behaves == 'current' else {} }}",
        },
    }
]
SWITCH = [
    {"name": "Begin", "ansible.builtin.copy": {"dest": "{{ marks }}/{{ inventory_hostname }}", "content": "begun\n"}},
    {
        "name": "Switch",
        "ansible.builtin.fail": {"msg": "it does not run"},
        "when": "behaves == 'broken'",
    },
]
VERIFY = [
    {
        "name": "Sum up",
        "ansible.builtin.set_fact": {"gridtie_resolved_outcome": {"state": "upgraded", "why": "1 -> 2"}},
    },
]
ROLLBACK = [
    {
        "name": "Hand on",
        "ansible.builtin.set_fact": {
            "gridtie_resolved_failure": "1 runs again on {{ inventory_hostname }}",
            "gridtie_resolved_outcome": {"state": "rolled back", "why": "2 failed"},
        },
    }
]
CHOICE = [
    {
        "name": "Decide",
        "ansible.builtin.set_fact": {"gridtie_stage_note": "all: small"},
    },
    {
        "name": "What its group runs fits on this host",
        "ansible.builtin.fail": {"msg": "1 thing stands in the way: it is too weak for what its group runs"},
        "when": "behaves == 'weak'",
    },
]
ROLES: dict[str, dict[str, list[dict[str, Any]]]] = {
    "preflight": {"main": PREFLIGHT},
    "container_engine": {"main": []},
    "gpu": {"main": []},
    "station": {"account": []},
    "models": {"choose": CHOICE, "main": []},
    "router": {"main": [], "neighbours": [{"name": "Meet", "ansible.builtin.debug": {"msg": "met"}}]},
    "doctor": {"main": []},
    **{
        f"engine_{engine}": {
            "upgrade_plan": PLAN,
            "upgrade": [
                {"name": "Begin", "ansible.builtin.assert": {"that": f"kind | default('ollama') == '{engine}'"}}
            ],
            "main": SWITCH,
            "upgrade_verify": VERIFY,
            "rollback": ROLLBACK,
        }
        for engine in ("ollama", "vllm")
    },
}


class Fleet:
    """Hosts that are all this machine, and behave as they are told."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.marks = directory / "marks"
        self.marks.mkdir()
        self.verdicts = directory / "verdicts.json"
        collection = directory / "collections/ansible_collections/gridtie/gridtie"
        for role, files in ROLES.items():
            (collection / "roles" / role / "tasks").mkdir(parents=True)
            for name, tasks in files.items():
                (collection / "roles" / role / "tasks" / f"{name}.yml").write_text(yaml.safe_dump(tasks))
        (collection / "plugins").symlink_to(ROOT / "plugins")

    def play(self, playbook: str, behaviour: dict[str, str], *arguments: str, **variables: Any) -> str:
        """What a run says; `code` is how it ended."""
        hosts: dict[str, dict[str, Any]] = {
            name: {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}
            if behaves == "off"
            else {"behaves": behaves}
            for name, behaves in behaviour.items()
        }
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "marks": str(self.marks),
            "gridtie_config_dir": "/etc/gridtie",
            "gridtie_verdict_file": str(self.verdicts),
            **variables,
        }
        inventory = self._directory / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"all": {"vars": common, "hosts": hosts}}))
        own = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self._directory / "collections"),
            "ANSIBLE_HOME": str(self._directory / "home"),
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            str(self._copy(playbook)),
            "-i",
            str(inventory),
        ]
        done = subprocess.run(
            [*command, *arguments],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        self.code = done.returncode
        return done.stdout + done.stderr

    def _copy(self, playbook: str) -> Path:
        """Apart from the checkout, whose own roles it would find beside it."""
        path = self._directory / playbook
        path.write_text((ROOT / "playbooks" / playbook).read_text(encoding="utf-8"))
        return path

    @property
    def begun(self) -> set[str]:
        return {path.name for path in self.marks.iterdir()}

    @property
    def outcomes(self) -> dict[str, str]:
        """As programs read them."""
        return {row["host"]: row["outcome"] for row in json.loads(self.verdicts.read_text())["hosts"]}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def lines(output: str) -> dict[str, list[str]]:
    """The table's lines by host."""
    found = [line.split() for line in output.splitlines() if line.startswith("  h")]
    return {words[0]: words[1:] for words in found if words[0] != "host"}


def test_a_canary_that_fails_leaves_the_others_untouched_and_each_host_is_told_of(fleet: Fleet) -> None:
    output = fleet.play("upgrade.yml", {"h1": "current", "h2": "broken", "h3": "fine", "h4": "fine", "h5": "off"})

    assert fleet.code != 0
    assert fleet.begun == {"h2"}
    assert "1 runs again on h2" in output
    wanted = {
        "h1": "unchanged",
        "h2": "rolled back",
        "h3": "not reached",
        "h4": "not reached",
        "h5": "unreachable",
    }
    assert fleet.outcomes == wanted
    told = lines(output)
    assert {host: " ".join(words)[: len(wanted[host])] for host, words in told.items()} == wanted


def test_a_host_that_is_refused_or_off_is_no_canary_and_keeps_nobody_from_the_upgrade(fleet: Fleet) -> None:
    output = fleet.play("upgrade.yml", {"h1": "refused", "h2": "off", "h3": "fine", "h4": "fine"})

    assert fleet.code != 0
    assert fleet.begun == {"h3", "h4"}
    assert output.count("1 thing stands in the way") == 1
    assert fleet.outcomes == {"h1": "failed", "h2": "unreachable", "h3": "upgraded", "h4": "upgraded"}


def test_a_failure_after_the_canary_stops_the_waves_that_follow_and_nobody_halfway(fleet: Fleet) -> None:
    behaviour = {"h1": "fine", "h2": "broken", "h3": "fine", "h4": "fine"}

    fleet.play("upgrade.yml", behaviour, gridtie_serial=[1, 2])

    assert fleet.outcomes == {"h1": "upgraded", "h2": "rolled back", "h3": "upgraded", "h4": "not reached"}


def test_more_failures_are_borne_where_that_was_asked_for(fleet: Fleet) -> None:
    behaviour = {"h1": "fine", "h2": "broken", "h3": "fine", "h4": "fine"}

    fleet.play("upgrade.yml", behaviour, gridtie_serial="1,2", gridtie_max_fail_percentage=50)

    assert fleet.outcomes == {"h1": "upgraded", "h2": "rolled back", "h3": "upgraded", "h4": "upgraded"}


def test_each_host_is_upgraded_by_the_role_of_its_own_engine(fleet: Fleet) -> None:
    fleet.play("upgrade.yml", {"h1": "fine", "h2": "broken"}, kind="vllm")

    assert fleet.outcomes == {"h1": "upgraded", "h2": "rolled back"}


def test_where_nothing_needs_an_upgrade_the_run_succeeds(fleet: Fleet) -> None:
    output = fleet.play("upgrade.yml", {"h1": "current", "h2": "current"})

    assert fleet.code == 0, output
    assert fleet.outcomes == {"h1": "unchanged", "h2": "unchanged"}


def test_a_station_is_provisioned_beside_those_that_fail_and_what_stood_in_the_way_is_told_once(fleet: Fleet) -> None:
    output = fleet.play("site.yml", {"h1": "refused", "h2": "off", "h3": "broken", "h4": "fine"})

    assert fleet.code != 0
    assert fleet.begun == {"h3", "h4"}
    assert output.count("1 thing stands in the way") == 1
    assert fleet.outcomes == {"h1": "failed", "h2": "unreachable", "h3": "failed", "h4": "changed"}
    assert "Neighbours" not in output
    assert "Count what failed" not in output


def test_a_host_that_is_too_weak_for_its_groups_models_is_not_begun_and_the_others_are(fleet: Fleet) -> None:
    output = fleet.play("site.yml", {"h1": "weak", "h2": "fine"})

    assert fleet.code != 0
    assert fleet.begun == {"h2"}
    assert fleet.outcomes == {"h1": "failed", "h2": "changed"}
    assert output.count("it is too weak for what its group runs") == 1
    assert "nothing was changed: What its group runs fits on this host" in output


def test_nothing_is_said_of_groups_where_there_is_one_machine_or_nobody_leaves_the_choice(fleet: Fleet) -> None:
    one = fleet.play("site.yml", {"h1": "weak"})
    assert fleet.code == 0 and fleet.begun == {"h1"}, one
    assert "Choice of models" not in one

    named = fleet.play("site.yml", {"h1": "weak", "h2": "fine"}, gridtie_models=["smollm2:135m"])
    assert fleet.code == 0, named
    assert "Choice of models" not in named


def test_stations_of_several_waves_get_to_know_each_other_at_the_end(fleet: Fleet) -> None:
    output = fleet.play("site.yml", {"h1": "fine", "h2": "fine", "h3": "fine"}, "-e", "gridtie_serial=1")

    assert fleet.code == 0, output
    assert output.index("Provision the station on h1") < output.index("Provision the station on h2")
    assert output.index("Provision the station on h3") < output.index("Neighbours")


def test_a_limit_is_kept_to(fleet: Fleet) -> None:
    fleet.play("upgrade.yml", {"h1": "fine", "h2": "fine"}, "--limit", "h2")

    assert fleet.outcomes == {"h2": "upgraded"}


def test_a_size_of_waves_that_is_none_is_refused_before_anything_is_changed(fleet: Fleet) -> None:
    output = fleet.play("upgrade.yml", {"h1": "fine"}, gridtie_serial="half")

    assert fleet.code != 0
    assert "gridtie_serial is 'half'" in output
    assert fleet.begun == set()
