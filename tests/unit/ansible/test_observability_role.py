"""What the role `observability` leaves alone and refuses, on a machine that may have a Prometheus. In check mode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: gridtie.gridtie.observability, tasks_from: "{{ part }}"}
"""
MACHINE = {"init": "systemd", "system": {"id": "debian", "name": "Debian 13"}, "person": {"home": "/nonexistent"}}


def play(directory: Path, part: str, **variables: Any) -> tuple[int, str]:
    """The exit status, and what was said, in one line."""
    (directory / "play.yml").write_text(PLAY)
    given = {
        "ansible_python_interpreter": sys.executable,
        "gridtie_machine": MACHINE,
        "gridtie_observability_hosts": ["localhost"],
        "part": part,
        **variables,
    }
    command = [Path(sys.executable).with_name("ansible-playbook"), "--check", "-i", "localhost,", "-c", "local"]
    done = subprocess.run(
        [*command, "-e", json.dumps(given), directory / "play.yml"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(directory), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("linked", [False, True])
def test_a_service_that_somebody_else_called_prometheus_is_not_turned_off(tmp_path: Path, linked: bool) -> None:
    """It was deleted: first its name was to be kept from the package's service, and then given back."""
    unit = tmp_path / "prometheus.service"
    if linked:
        (tmp_path / "theirs.service").write_text("[Service]\n")
        unit.symlink_to(tmp_path / "theirs.service")
    else:
        unit.write_text("[Service]\n")

    status, said = play(tmp_path, "install.yml", _observability_packaged_unit=str(unit))

    assert status != 0
    assert f"{unit} is there" in said, said
    assert "Nothing was changed." in said


@pytest.mark.parametrize("directory", ["/etc/prometheus", "/etc/prometheus/"])
def test_the_packages_own_configuration_is_not_written_over(tmp_path: Path, directory: str) -> None:
    """A reset would take it away."""
    status, said = play(tmp_path, "preflight.yml", gridtie_observability_config_dir=directory)

    assert status != 0
    assert "name a directory that nobody else uses" in said


def test_a_password_where_a_hash_belongs_is_refused_and_not_shown(tmp_path: Path) -> None:
    opened = {"gridtie_observability_listen": "0.0.0.0", "gridtie_tls": "project"}

    status, said = play(tmp_path, "preflight.yml", **opened, gridtie_observability_users={"ops": "open sesame"})

    assert status != 0
    assert "is no bcrypt hash (it is not shown)" in said
    assert "open sesame" not in said


def test_the_roles_usual_settings_pass(tmp_path: Path) -> None:
    status, said = play(tmp_path, "preflight.yml")

    assert status == 0, said
