"""The upgrade of a host with vLLM: the real playbook and the real roles of engines, on modules that play their part."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from standins import httpd

ROOT = Path(__file__).resolve().parents[3]
OLD, NEW = "0.31.1", "0.32.0"
BEFORE = {
    "kind": "vllm",
    "mode": "container",
    "source": "packages",
    "version": OLD,
    "image": "gridtie/engine-vllm:old",
    "container": "gridtie-engine-1",
}
MODEL = {"name": "gridtie/smollm2:135m", "context": 2048, "purposes": ["code"], "digest": "sha256:a"}
# A module that notes what it was asked and answers as told; one whose image does not run fails.
MODULE = """#!/usr/bin/python
# WANT_JSON
import json, sys
given = {{name: value for name, value in json.load(open(sys.argv[1])).items() if not name.startswith("_ansible")}}
with open({log!r}, "a") as log:
    log.write(json.dumps([{name!r}, given]) + "\\n")
image = (given.get("settings") or {{}}).get("GRIDTIE_ENGINE_IMAGE", "")
if image in {broken!r}:
    print(json.dumps({{"failed": True, "msg": image + " is not healthy"}}))
else:
    print(json.dumps({answer}))
"""
STUBS: dict[str, dict[str, list[dict[str, Any]]]] = {
    "container_engine": {"main": []},
    "gpu": {"main": []},
    "router": {"verify": []},
    "models": {"accept": []},
    "doctor": {
        "main": [
            {
                "name": "Examine the station",
                "ansible.builtin.fail": {"msg": "1 of 41 checks does not hold"},
                "when": "doctor_fails and gridtie_resolved_engine.version == pinned_version",
            },
            {"name": "Hand on", "ansible.builtin.set_fact": {"gridtie_resolved_verdict": "PASS"}},
        ]
    },
}


class Host:
    """One with vLLM of the version before."""

    def __init__(self, directory: Path, router: httpd.Httpd) -> None:
        self._directory = directory
        self._router = router
        self._collection = directory / "collections/ansible_collections/gridtie/gridtie"
        self._log = directory / "log"
        for role in ("engine", "engine_vllm", "station"):
            shutil.copytree(ROOT / "roles" / role, self._collection / "roles" / role)
        for name in ("account", "docker"):
            (self._collection / "roles/station/tasks" / f"{name}.yml").write_text("[]\n")
        (self._collection / "roles/engine/tasks/preflight.yml").write_text("[]\n")
        for part in ("config", "requirements", "compose"):
            (self._collection / part).symlink_to(ROOT / part)
        shutil.copytree(ROOT / "plugins", self._collection / "plugins", symlinks=True)
        shutil.rmtree(self._collection / "plugins/action")
        (self._collection / "plugins/module_utils/gridtie_host").unlink()

    def upgrade(self, *, broken: tuple[str, ...] = (), doctor_fails: bool = False) -> str:
        """What a run says; `code` is how it ended."""
        station = {"engine": BEFORE, "models": [MODEL], "schema": 1}
        handed_on = {
            "gridtie_station": station,
            "gridtie_resolved_choice": {"engine": "vllm", "mode": "container", "source": "packages", "why": "asked"},
            "gridtie_machine": {
                "init": "",
                "memory": {"total": 8 << 30},
                "reach": {},
                "architecture": "x86_64",
                "system": {"id": "debian"},
            },
            "gridtie_docker": {"works": True, "compose": "2", "buildx": "0", "host": ""},
            "gridtie_resolved_account": {"container_user": "1:1"},
            "gridtie_resolved_engine_account": {"container_user": "2:2"},
        }
        preflight = [{"name": "Hand on", "ansible.builtin.set_fact": handed_on}]
        for role, files in {**STUBS, "preflight": {"main": preflight}}.items():
            (self._collection / "roles" / role / "tasks").mkdir(parents=True, exist_ok=True)
            for name, tasks in files.items():
                (self._collection / "roles" / role / "tasks" / f"{name}.yml").write_text(yaml.safe_dump(tasks))
        # It hands on the variables that every role shares.
        shared = self._collection / "roles/preflight/meta"
        shared.mkdir()
        (shared / "main.yml").write_text(yaml.safe_dump({"dependencies": [{"role": "gridtie.gridtie.station"}]}))
        plan = {"needed": True, "why": "another", "before": BEFORE, "to": NEW, "speed": {}, "measure": False}
        answers = {
            "gridtie_upgrade_plan": {"plan": plan},
            "gridtie_image": {"image": "gridtie/engine-vllm:new", "changed": True},
            "gridtie_checkpoint": {"model": MODEL, "arguments": ["--port", "8000"], "cache_gib": 1},
            "gridtie_service": {"container": "gridtie-engine-1", "changed": True},
            "gridtie_files": {"changed": True},
        }
        for name, answer in answers.items():
            text = MODULE.format(log=str(self._log), name=name, broken=list(broken), answer=answer)
            (self._collection / "plugins/modules" / f"{name}.py").write_text(text)
        inventory = self._directory / "inventory.yml"
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "gridtie_port": int(self._router.url.rpartition(":")[2]),
            "gridtie_group": "gridtie",
            "doctor_fails": doctor_fails,
            "pinned_version": NEW,
        }
        inventory.write_text(yaml.safe_dump({"all": {"hosts": {"gpu-1": variables}}}))
        own = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(self._directory / "collections"),
            "ANSIBLE_HOME": str(self._directory / "home"),
            "ANSIBLE_NOCOLOR": "1",
        }
        playbook = self._directory / "upgrade.yml"
        playbook.write_text((ROOT / "playbooks/upgrade.yml").read_text().replace("become: true", "become: false"))
        done = subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), str(playbook), "-i", str(inventory)],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        self.code = done.returncode
        return done.stdout + done.stderr

    def asked(self, module: str) -> list[dict[str, Any]]:
        """With what a module was called, each time."""
        rows = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [given for name, given in rows if name == module]

    @property
    def ran(self) -> list[str]:
        """The images that were run, one after the other."""
        return [each["settings"]["GRIDTIE_ENGINE_IMAGE"] for each in self.asked("gridtie_service")]

    @property
    def recorded(self) -> list[dict[str, Any]]:
        """station.json as it was written, one after the other."""
        return [json.loads(each["files"][0]["content"]) for each in self.asked("gridtie_files")]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Host]:
    with httpd.serving() as router:
        router.answers = {"/health": (503, {}), "/metrics": (200, b'gridtie_in_flight{target="station/m"} 0\n')}
        yield Host(tmp_path, router)


def test_the_new_image_is_run_after_other_stations_were_sent_elsewhere_and_let_in_once_it_was_judged(
    machine: Host,
) -> None:
    output = machine.upgrade()

    assert machine.code == 0, output
    assert machine.ran == ["gridtie/engine-vllm:new"]
    first, judged, last = machine.recorded
    assert (first["draining"], first["engine"]["version"], first["upgrade"]["before"]) == (True, OLD, BEFORE)
    assert (judged["draining"], judged["engine"]["version"]) == (True, NEW)
    assert last["engine"]["image"] == "gridtie/engine-vllm:new"
    assert not {"draining", "upgrade"} & last.keys()


@pytest.mark.parametrize(
    ("broken", "doctor_fails", "why"),
    [
        (("gridtie/engine-vllm:new",), False, "gridtie/engine-vllm:new is not healthy"),
        ((), True, "1 of 41 checks does not hold"),
    ],
    ids=["does not run", "does not hold"],
)
def test_the_image_before_runs_again_where_the_new_one_does_not_serve(
    machine: Host, broken: tuple[str, ...], doctor_fails: bool, why: str
) -> None:
    output = machine.upgrade(broken=broken, doctor_fails=doctor_fails)

    assert machine.code != 0
    assert why in output
    assert f"vLLM {OLD} runs again" in output
    assert machine.ran == ["gridtie/engine-vllm:new", BEFORE["image"]]
    assert machine.asked("gridtie_checkpoint")[-1]["version"] == OLD
    assert machine.recorded[-1]["engine"] == BEFORE
    assert not {"draining", "upgrade"} & machine.recorded[-1].keys()


def test_where_the_image_before_does_not_run_either_both_failures_are_told(machine: Host) -> None:
    output = machine.upgrade(broken=("gridtie/engine-vllm:new", BEFORE["image"]))

    assert machine.code != 0
    assert f"Going back to {OLD} failed as well" in output
    assert "draining" in machine.recorded[-1]
