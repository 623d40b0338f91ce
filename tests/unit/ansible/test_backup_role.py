"""What the router's role writes for backups by themselves, and what it notes of the controller: in check mode."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PLAY = """
- hosts: all
  gather_facts: false
  vars: {ansible_become: false}
  tasks:
    - ansible.builtin.include_role: {name: gridtie.gridtie.router, tasks_from: backup, public: true}
    - ansible.builtin.copy:
        dest: "{{ told }}"
        content: "{{ {'diff': _router_backup.diff, 'controller': _router_controller} | to_json }}"
      check_mode: false
"""
FACTS: dict[str, Any] = {
    "gridtie_backup_directory": "/srv/of a station/backups",
    "gridtie_backup_keep": 3,
    "gridtie_backup_on_calendar": "*-*-* 03:00",
    "gridtie_tls": "project",
    "gridtie_listen": "0.0.0.0",
}


def tell(home: Path, **facts: Any) -> dict[str, Any]:
    """The tasks on this machine in check mode: what they would write, and what station.json would say."""
    (home / "play.yml").write_text(PLAY)
    facts = {**FACTS, **facts, "told": str(home / "told.json")}
    command = [
        Path(sys.executable).with_name("ansible-playbook"),
        "--check",
        "--diff",
        "-i",
        ROOT / "inventories/localhost",
    ]
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


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tell(tmp_path_factory.mktemp("home"))


def unit(told: dict[str, Any], name: str) -> configparser.ConfigParser:
    (text,) = (each["after"] for each in told["diff"] if each["after_header"] == f"/etc/systemd/system/{name}")
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.read_string(text)
    return parser


def test_the_service_makes_one_backup_and_keeps_as_many_as_were_asked_for(told: dict[str, Any]) -> None:
    parsed = unit(told, "gridtie-backup.service")
    service = parsed["Service"]

    assert parsed["Unit"]["RequiresMountsFor"] == '"/srv/of a station/backups"'
    assert service["ExecStart"] == '/opt/gridtie/bin/gridtie backup "/srv/of a station/backups" --keep 3'
    assert service["Environment"] == "GRIDTIE_CONFIG_DIR=/etc/gridtie"
    assert service["ReadWritePaths"] == '"/srv/of a station/backups" "/var/lib/gridtie/ledger"'


def test_the_timer_goes_by_the_inventory_and_makes_up_for_what_was_missed(told: dict[str, Any]) -> None:
    timer = unit(told, "gridtie-backup.timer")

    assert (timer["Timer"]["OnCalendar"], timer["Timer"]["Persistent"]) == ("*-*-* 03:00", "yes")
    assert timer["Install"]["WantedBy"] == "timers.target"


def test_where_the_playbook_runs_on_the_station_it_notes_its_lock_and_its_authority(told: dict[str, Any]) -> None:
    assert told["controller"] == {
        "lock": str(ROOT / "inventories/localhost/gridtie.lock.yaml"),
        "ca_certificate": f"{told['home']}/.config/gridtie/ca/ca.pem",
        "ca_key": f"{told['home']}/.config/gridtie/ca/ca.key",
    }


@pytest.mark.parametrize(("says", "kept"), [("pins: 1", True), ("pins: 2", False), (None, False)])
def test_a_lock_that_an_earlier_run_named_stays_named_while_it_says_the_same(
    tmp_path: Path, says: str | None, kept: bool
) -> None:
    named, now = tmp_path / "named.yaml", tmp_path / "now.yaml"
    now.write_text("pins: 1")
    if says is not None:
        named.write_text(says)

    told = tell(tmp_path, gridtie_lock_file=str(now), gridtie_station={"controller": {"lock": str(named)}})

    assert told["controller"]["lock"] == str(named if kept else now)


def test_the_timer_goes_before_station_json_forgets_it() -> None:
    """A run that is killed in between would leave it for ever: the next one goes by station.json."""
    tasks = yaml.safe_load((ROOT / "roles/router/tasks/main.yml").read_text())
    (taken_away,) = (at for at, task in enumerate(tasks) if "gridtie.gridtie.gridtie_unit" in task)
    (written,) = (at for at, task in enumerate(tasks) if task.get("register") == "_router_files_written")

    assert tasks[taken_away]["gridtie.gridtie.gridtie_unit"]["state"] == "absent"
    assert taken_away < written
