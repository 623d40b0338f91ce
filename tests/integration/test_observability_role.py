"""What the role `observability` writes, read by the real Prometheus and by its own tool. On a host: tests/lab."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from standins import prometheus
from standins.authority import make_authority
from standins.process import PATIENCE_S, free_port
from standins.router import ROOT

pytestmark = pytest.mark.skipif(
    prometheus.PROGRAM is None or prometheus.TOOL is None,
    reason="there is no Prometheus here; `python scripts/prometheus.py` unpacks Debian's",
)

PLAY = """
- hosts: here
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: gridtie.gridtie.observability, tasks_from: preflight, public: true}
    - ansible.builtin.copy:
        dest: "{{ told }}"
        content: "{{ {'files': _observability_files, 'unit': _observability_unit_text,
                      'left_out': _observability_left_out} | to_json }}"
"""
HOSTS = {
    "here": {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"},
    "there": {"gridtie_listen": "0.0.0.0", "gridtie_address": "there.example"},
    "alone": {},
}
MACHINE = {"init": "systemd", "system": {"id": "debian", "name": "Debian 13"}, "person": {"home": "/nonexistent"}}
# Of "open sesame".
OPEN = {
    "gridtie_observability_listen": "0.0.0.0",
    "gridtie_tls": "project",
    "gridtie_observability_users": {"ops": "$2b$10$Scmp5Xu/f2GCAQLB4iZzu.4OkL5ruzp9HZJ76YW6f/ZFQv9SE2Bfa"},
}


def play(directory: Path, **variables: Any) -> subprocess.CompletedProcess[str]:
    (directory / "play.yml").write_text(PLAY)
    for own in ("templates", "files"):
        # A play beside them finds them as the role does.
        (directory / own).symlink_to(ROOT / "roles" / "observability" / own)
    (directory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": HOSTS}}))
    given = {"gridtie_machine": MACHINE, "told": str(directory / "told.json"), **variables}
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", directory / "hosts.yml"]
    return subprocess.run(
        [*command, "-e", json.dumps(given), directory / "play.yml"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(directory), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def written(directory: Path, **variables: Any) -> dict[str, Any]:
    """The files as the role would write them, in a directory of the test; and the service's unit."""
    done = play(directory, gridtie_observability_config_dir=str(directory / "config"), **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads((directory / "told.json").read_text())
    (directory / "config").mkdir()
    for file in told["files"]:
        Path(file["path"]).write_text(file["content"])
    return told


def check(*words: str | Path) -> None:
    done = subprocess.run([str(prometheus.TOOL), "check", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def flags(unit: str) -> list[str]:
    """What the service starts with, as systemd would hand it on."""
    found = re.search(r"^ExecStart=(.*?[^\\])$", unit, re.MULTILINE | re.DOTALL)
    assert found is not None
    return [word.replace("$$", "$") for word in found[1].replace("\\\n", " ").split()[1:]]


def test_on_loopback_its_files_are_in_order_and_no_page_of_another_origin_may_ask(tmp_path: Path) -> None:
    port = free_port()
    told = written(tmp_path, gridtie_observability_port=port, gridtie_observability_alertmanagers=["127.0.0.1:9093"])
    make_authority(tmp_path / "authority")
    shutil.copy(tmp_path / "authority" / "ca.pem", tmp_path / "config" / "ca.pem")
    check("config", tmp_path / "config" / "prometheus.yml")
    check("web-config", tmp_path / "config" / "web.yml")
    assert told["left_out"] == ["alone"]

    state = f"--storage.tsdb.path={tmp_path / 'data'}"
    words = [state if word.startswith("--storage.tsdb.path") else word for word in flags(told["unit"])]
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen([str(prometheus.PROGRAM), *words], stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        targets = _told(url, tmp_path / "log", child)
        foreign = httpx.get(f"{url}/api/v1/targets", headers={"origin": "https://evil.example"}, trust_env=False)
        managers = httpx.get(f"{url}/api/v1/alertmanagers", trust_env=False).json()["data"]["activeAlertmanagers"]
    finally:
        child.terminate()
        child.wait()

    assert {(each["labels"]["instance"], each["scrapeUrl"]) for each in targets} == {
        ("here", "http://127.0.0.1:8484/metrics"),
        ("there", "https://there.example:8443/metrics"),
    }
    assert "access-control-allow-origin" not in foreign.headers
    assert [each["url"] for each in managers] == ["http://127.0.0.1:9093/api/v2/alerts"]


def _told(url: str, log: Path, child: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """Its targets, once it has read their file."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            targets = httpx.get(f"{url}/api/v1/targets", trust_env=False).json()["data"]["activeTargets"]
            if targets:
                return list(targets)
        except httpx.TransportError:
            pass
        assert child.poll() is None and time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.2)


def test_beyond_loopback_its_door_has_tls_and_passwords(tmp_path: Path) -> None:
    told = written(tmp_path, **OPEN)
    make_authority(tmp_path / "authority")
    shutil.copy(tmp_path / "authority" / "server.pem", tmp_path / "config" / "server.pem")
    check("web-config", tmp_path / "config" / "web.yml")

    web = yaml.safe_load((tmp_path / "config" / "web.yml").read_text())
    assert web["tls_server_config"]["cert_file"] == web["tls_server_config"]["key_file"] == "server.pem"
    assert set(web["basic_auth_users"]) == {"ops"}
    assert "--web.listen-address=0.0.0.0:9090" in flags(told["unit"])


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"gridtie_observability_listen": "0.0.0.0"}, "then gridtie_tls must not be off (it is off)"),
        ({**OPEN, "gridtie_observability_users": {}}, "gridtie_observability_users must name somebody"),
        ({**OPEN, "gridtie_observability_users": {"ops": "hunter2"}}, "is no bcrypt hash (it is not shown)"),
        ({"gridtie_observability_hosts": ["alone"]}, "No router can be reached from here"),
        ({"gridtie_machine": {**MACHINE, "init": ""}}, "Name another host for the group observability"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_set(tmp_path: Path, variables: dict[str, Any], said: str) -> None:
    done = play(tmp_path, **variables)

    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert said in told
    assert "hunter2" not in told
