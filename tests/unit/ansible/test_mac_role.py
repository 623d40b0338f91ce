"""What the role of Ollama would do on a Mac: its tasks in check mode, with a Mac's facts and inventory."""

from __future__ import annotations

import json
import os
import plistlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: gridtie.gridtie.engine_ollama, public: true}
    - ansible.builtin.command: {argv: [id, -u]}
      become: true
      become_user: nobody
      check_mode: false
      register: whose
    - ansible.builtin.include_role: {name: gridtie.gridtie.station, tasks_from: mac, public: true}
    - ansible.builtin.include_role: {name: gridtie.gridtie.router, tasks_from: verify, public: true}
    - ansible.builtin.copy:
        dest: "{{ told }}"
        content: "{{ {'engine': gridtie_resolved_engine, 'fetched': _ollama_release, 'ran': _ollama_ran.diff,
                      'overlay': _station_overlay, 'published': _router_published, 'whose': whose.stdout} | to_json }}"
      check_mode: false
"""
FACTS: dict[str, Any] = {
    "gridtie_docker": {"works": True, "host": "unix:///nonexistent.sock", "compose": "2", "buildx": "0"},
    "gridtie_machine": {
        "init": "launchd",
        "architecture": "aarch64",
        "memory": {"total": 16 << 30},
        "user": {"name": "dev"},
    },
    "gridtie_resolved_choice": {"engine": "ollama", "mode": "native", "source": "release", "why": "", "adopted": {}},
    "gridtie_resolved_gpu": {"backend": "", "overlay": "", "variant": "", "settings": {}},
    "gridtie_resolved_account": {"user": "dev", "group": "staff"},
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("home")
    (home / "play.yml").write_text(PLAY)
    facts = {**FACTS, "told": str(home / "told.json")}
    command = [Path(sys.executable).with_name("ansible-playbook"), "--check", "--diff", "-i", ROOT / "inventories/mac"]
    done = subprocess.run(
        [*command, "-e", json.dumps(facts), home / "play.yml"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(home), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {"home": str(home), **json.loads((home / "told.json").read_text())}


def test_the_pinned_archive_for_a_mac_is_what_would_be_fetched(told: dict[str, Any]) -> None:
    assert told["fetched"]["changed"]
    assert told["fetched"]["tree"].startswith(f"{told['home']}/.gridtie/opt/ollama/")


def test_the_agent_has_the_settings_of_a_service_and_runs_the_current_tree(told: dict[str, Any]) -> None:
    agent = plistlib.loads(told["ran"][-1]["after"].encode())

    assert agent["Label"] == told["engine"]["unit"] == "io.gridtie.gridtie.engine"
    assert agent["ProgramArguments"][0].startswith(f"{told['home']}/.gridtie/opt/ollama/current/")
    assert agent["StandardOutPath"] == f"{told['home']}/.gridtie/var/engine.log"
    variables = agent["EnvironmentVariables"]
    assert variables["OLLAMA_HOST"] == "127.0.0.1:11434"
    assert variables["OLLAMA_MODELS"] == f"{told['home']}/.gridtie/var/models/ollama"
    assert variables["OLLAMA_NO_CLOUD"] == "1"
    assert {type(value) for value in variables.values()} == {str}


def test_the_routers_container_reaches_the_mac_by_its_name_and_publishes_its_port(told: dict[str, Any]) -> None:
    assert told["engine"]["url"] == "http://host.docker.internal:11434"
    assert told["overlay"] == ":router.darwin.yaml"
    assert told["published"] == ["127.0.0.1:8484"]


def test_the_inventory_takes_every_become_back(told: dict[str, Any]) -> None:
    assert told["whose"] == str(os.getuid())
