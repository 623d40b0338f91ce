"""An image that cannot be handed over is a result with its reason, so that the host can build its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]

TASKS = """
- name: Share
  ansible.builtin.include_role: {name: gridtie.gridtie.station, tasks_from: share_image}
  vars: {_station_missing: "gridtie/router:1"}
- name: Tell
  ansible.builtin.debug: {msg: "build={{ gridtie_resolved_build }} {{ gridtie_stage_notices }}"}
"""


def share(tmp_path: Path, hosts: dict[str, dict[str, object]], **common: object) -> subprocess.CompletedProcess[str]:
    """What comes of it where the second of these hosts misses an image."""
    known = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_become": False,
        "gridtie_docker": {"cli": "docker", "host": ""},
        "gridtie_share_cache": str(tmp_path / "cache"),
        "gridtie_machine": {"architecture": "x86_64", "system": {"id": "debian"}},
        "gridtie_resolved_choice": {},
        **common,
    }
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump({"all": {"vars": known, "hosts": hosts}}))
    alone = [{"name": "The second", "when": "inventory_hostname == 'second'", "block": yaml.safe_load(TASKS)}]
    play = [{"name": "Share", "hosts": "all", "gather_facts": False, "serial": 1, "tasks": alone}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    own = {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_NOCOLOR": "1",
    }
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", tmp_path / "play.yml", "-i", tmp_path / "inventory.yml"],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_is_built_here_where_the_host_that_makes_it_is_off(tmp_path: Path) -> None:
    off = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9}

    done = share(tmp_path, {"first": off, "second": {}})

    assert done.returncode == 0, done.stdout + done.stderr
    assert "build=True ['gridtie/router:1 could not be had from another host (" in done.stdout


def test_what_a_bundle_lacks_is_an_error_since_nothing_can_be_built_without_a_network(tmp_path: Path) -> None:
    done = share(tmp_path, {"second": {}}, gridtie_bundle=str(tmp_path / "bundle"))

    assert done.returncode != 0
    assert f"no {tmp_path}/bundle/images/gridtie_router_1/index.json" in done.stdout
    assert "build=" not in done.stdout
