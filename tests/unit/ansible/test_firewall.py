"""The station's table of nftables: checked, written, loaded where it is not in force, and taken away.

That nft and systemd do what they are told is proven in the lab; here scripts of a few lines take their place.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from plugins.module_utils.gridtie_judge import judge_firewall
from plugins.module_utils.gridtie_machine import connection, logged_in

from gridtie.host.firewall import firewall
from standins.play import play

ROOT = Path(__file__).resolve().parents[3]
DECLARED: dict[str, Any] = {"ports": [8443, 8484], "ranges": ["10.1.0.0/16", "fd00::/8"]}

# The kernel's table is the file `loaded`; a file `refuses` is what nft has against the rules.
NFT = """#!/bin/sh
cd '{place}'
case "$*" in
  "--check --file -") cat >/dev/null; if [ -f refuses ]; then cat refuses >&2; exit 1; fi ;;
  "--stateless list table inet gridtie")
    if [ -f loaded ]; then cat loaded; else echo "Error: No such file or directory" >&2; exit 1; fi ;;
  "delete table inet gridtie") rm -f loaded; echo nft-delete >>told ;;
  *) echo "nft was asked $*" >&2; exit 9 ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
cd '{place}'
case "$1" in
  show) grep -E "^($(echo "$3" | sed 's/.*=//; s/,/|/g'))=" unit; exit 0 ;;
  reload-or-restart)
    cp rules.nft loaded
    printf 'LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\nNeedDaemonReload=no\\n' >unit ;;
  disable) echo LoadState=not-found >unit ;;
esac
echo "$1" >>told
"""


class Kernel:
    """A machine with nft and systemd, and the playbook's task on it."""

    def __init__(self, place: Path, run: Path) -> None:
        self.place, self._run = place, run
        (place / "unit").write_text("LoadState=not-found\nActiveState=inactive\nNeedDaemonReload=no\n")
        for name, text in (("nft", NFT), ("systemctl", SYSTEMCTL)):
            (place / name).write_text(text.format(place=place))
            (place / name).chmod(0o755)

    def task(self, *options: str, **changes: Any) -> tuple[int, str]:
        unit = {"path": str(self.place / "gridtie-firewall.service"), "content": "[Service]\n"}
        given = {"table": "gridtie", **DECLARED, "rules": str(self.place / "rules.nft"), "unit": unit, **changes}
        (self.place / "told").unlink(missing_ok=True)
        task = {"name": "Let them in", "gridtie.gridtie.gridtie_firewall": given}
        environment = {"PATH": f"{self.place}:{os.environ['PATH']}"}
        return play(self._run, [{**task, "environment": environment}], {}, *options)

    @property
    def loaded(self) -> str:
        path = self.place / "loaded"
        return path.read_text() if path.exists() else ""

    @property
    def told(self) -> list[str]:
        """What systemd was told to do by the last task."""
        path = self.place / "told"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    (tmp_path / "machine").mkdir()
    return Kernel(tmp_path / "machine", tmp_path)


def test_it_is_loaded_now_and_at_boot_and_a_second_run_changes_nothing(kernel: Kernel) -> None:
    status, output = kernel.task()
    assert status == 0, output
    assert kernel.told == ["daemon-reload", "enable", "reload-or-restart"]
    assert firewall("gridtie", **DECLARED).amiss(kernel.loaded) == []

    status, output = kernel.task()
    assert "changed=0" in output
    assert kernel.told == []


def test_what_somebody_has_removed_or_changed_is_loaded_anew(kernel: Kernel) -> None:
    kernel.task()
    for spoil in (lambda path: path.unlink(), lambda path: path.write_text(path.read_text().replace("drop", "accept"))):
        spoil(kernel.place / "loaded")
        status, output = kernel.task()
        assert status == 0, output
        assert "changed=1" in output
        assert "counter drop" in kernel.loaded


def test_rules_that_nft_does_not_take_change_nothing(kernel: Kernel) -> None:
    kernel.task()
    before = kernel.loaded
    (kernel.place / "refuses").write_text("Error: Could not process rule: Not supported\n")

    status, output = kernel.task(ranges=["10.9.0.0/16"])

    assert status != 0
    assert "nothing was changed: Error: Could not process rule: Not supported" in output
    assert kernel.loaded == before == (kernel.place / "rules.nft").read_text()
    assert kernel.told == []


def test_check_mode_tells_of_it_and_touches_nothing_also_where_there_is_no_nft_yet(kernel: Kernel) -> None:
    (kernel.place / "nft").write_text("#!/bin/sh\nexit 127\n")

    status, output = kernel.task("--check", "--diff")

    assert status == 0, output
    assert "changed=1" in output
    assert "ip saddr != @from4 counter drop" in output
    assert not (kernel.place / "rules.nft").exists()
    assert kernel.told == []


def test_what_is_taken_out_of_the_inventory_is_taken_away(kernel: Kernel) -> None:
    kernel.task()

    status, output = kernel.task(state="absent")
    assert status == 0, output
    assert kernel.told == ["disable", "nft-delete", "daemon-reload"]
    assert kernel.loaded == ""
    assert sorted(path.name for path in kernel.place.iterdir()) == ["nft", "systemctl", "told", "unit"]

    assert "changed=0" in kernel.task(state="absent")[1]


# --- the unit ---------------------------------------------------------------------------------------------------------


def test_at_boot_it_comes_before_the_network_and_after_whoever_empties_all_tables() -> None:
    text = (ROOT / "roles/router/templates/firewall.service.j2").read_text()
    rules, table = "/opt/gridtie/etc/firewall.nft", {"table": "gridtie"}
    rendered = jinja2.Template(text).render(
        gridtie_project="gridtie", _router_firewall=table, _router_firewall_rules=rules
    )
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(rendered)

    assert "network-pre.target" in unit["Unit"]["Before"]
    assert unit["Unit"]["After"] == unit["Unit"]["PartOf"] == unit["Unit"]["ReloadPropagatedFrom"] == "nftables.service"
    assert unit["Service"]["ExecStart"] == unit["Service"]["ExecReload"] == f"/usr/sbin/nft --file {rules}"
    # PartOf hands on a stop, and a start only as part of a restart.
    assert unit["Install"]["WantedBy"].split() == ["sysinit.target", "nftables.service"]
    assert unit["Service"]["ExecStop"] == "-/usr/sbin/nft delete table inet gridtie"


def test_the_rules_are_there_before_the_router_opens_its_port() -> None:
    tasks = yaml.safe_load((ROOT / "roles/router/tasks/main.yml").read_text())
    (loaded,) = (at for at, task in enumerate(tasks) if task.get("ansible.builtin.include_tasks") == "firewall.yml")
    (runs,) = (at for at, task in enumerate(tasks) if task.get("register") == "_router_service")

    assert loaded < runs


def test_they_go_before_station_json_forgets_them() -> None:
    """A run that is killed in between would leave them for ever: the next one goes by station.json."""
    tasks = yaml.safe_load((ROOT / "roles/router/tasks/main.yml").read_text())
    (taken_away,) = (at for at, task in enumerate(tasks) if "gridtie.gridtie.gridtie_firewall" in task)
    (written,) = (at for at, task in enumerate(tasks) if task.get("register") == "_router_files_written")

    assert tasks[taken_away]["gridtie.gridtie.gridtie_firewall"]["state"] == "absent"
    assert taken_away < written


# --- what the preflight says ------------------------------------------------------------------------------------------

MACHINE: dict[str, Any] = {"init": "systemd", "system": {"id": "debian"}, "connection": {}}
LOGGED_IN = {**MACHINE, "connection": {"client": "10.9.0.7", "port": 22}}


def judged(machine: dict[str, Any], ranges: Any, ports: list[Any], has_nft: bool = True) -> str:
    return " | ".join(f"{each['found']}; {each['fix']}" for each in judge_firewall(machine, ranges, ports, has_nft))


@pytest.mark.parametrize(
    ("machine", "ranges", "ports"),
    [
        (LOGGED_IN, ["10.1.0.0/16"], [8443]),
        (LOGGED_IN, ["10.9.0.0/24"], [8443, 22]),
        ({**MACHINE, "connection": {"client": "127.0.0.1", "port": 22}}, ["10.1.0.0/16"], [22]),
        ({**MACHINE, "connection": {"client": "::ffff:10.1.0.9", "port": 22}}, ["10.1.0.0/16"], [22]),
        (MACHINE, ["10.1.0.0/16"], [22]),
        (LOGGED_IN, [], [22]),
        # What is wrong with these has lines of its own.
        (LOGGED_IN, "10.1.0.0/16", [22]),
        (LOGGED_IN, ["the office"], [22]),
        (LOGGED_IN, ["10.1.0.0/16"], ["ssh", None]),
    ],
    ids=[
        *("another port", "let in", "on the machine itself", "by an IPv6 socket", "not by SSH", "no rules"),
        *("no list", "no range", "no port"),
    ],
)
def test_rules_that_let_the_run_go_on_are_no_problem(machine: dict[str, Any], ranges: Any, ports: list[Any]) -> None:
    assert judged(machine, ranges, ports) == ""


def test_rules_that_would_cut_off_the_run_are_told_with_the_address_to_add() -> None:
    told = judged(LOGGED_IN, ["10.1.0.0/16"], [8443, "22"])

    assert "gridtie_firewall would drop what comes to port 22 from 10.9.0.7, which is this very run" in told
    assert "add 10.9.0.7 to gridtie_firewall" in told
    link_local = {**MACHINE, "connection": {"client": "fe80::1%eth0", "port": 22}}
    assert "add fe80::1 to gridtie_firewall" in judged(link_local, ["10.1.0.0/16"], [22])


def test_a_machine_that_cannot_keep_rules_is_told() -> None:
    assert "needs systemd" in judged({**MACHINE, "init": "other"}, ["10.1.0.0/16"], [])
    fedora = {**MACHINE, "system": {"id": "fedora"}}
    assert "needs the command nft" in judged(fedora, ["10.1.0.0/16"], [], has_nft=False)
    assert judged(fedora, ["10.1.0.0/16"], []) == ""
    assert judged(MACHINE, ["10.1.0.0/16"], [], has_nft=False) == ""  # It is installed from here.


def test_who_has_logged_in_is_what_the_ssh_server_says() -> None:
    assert connection("10.9.0.7 50000 10.9.0.1 2222") == {"client": "10.9.0.7", "port": 2222}
    assert connection("fe80::1%eth0 50000 fe80::2%eth0 22") == {"client": "fe80::1%eth0", "port": 22}
    assert connection("") == {}


def test_who_has_logged_in_is_known_behind_sudo_as_well(tmp_path: Path) -> None:
    """As with `sudo make site`, `--become` or `ansible_become`, which keep SSH_CONNECTION from what they run."""
    for process, above, environment in (
        (1, 0, b""),
        (20, 1, b"SSH_CONNECTION=10.9.0.8 1 10.9.0.1 22\0"),
        (30, 20, b"HOME=/home/dev\0SSH_CONNECTION=10.9.0.7 50000 10.9.0.1 22\0LANG=C\0"),
        (40, 30, b"SUDO_USER=dev\0"),
        (50, 1, b"LANG=C\0"),
    ):
        (tmp_path / str(process)).mkdir()
        (tmp_path / str(process) / "status").write_text(f"Name:\tx\nPid:\t{process}\nPPid:\t{above}\n")
        (tmp_path / str(process) / "environ").write_bytes(environment)

    assert logged_in(tmp_path, 40) == "10.9.0.7 50000 10.9.0.1 22"
    assert logged_in(tmp_path, 50) == ""


def test_a_run_that_became_root_finds_who_has_logged_in() -> None:
    """Run for real: a shell that has the variable, and a program below it that has not."""
    asked = "from plugins.module_utils import gridtie_machine as m; print(m.describe_surroundings([])['connection'])"
    below = f'env -u SSH_CONNECTION "{sys.executable}" -c "{asked}"; true'
    environment = {**os.environ, "SSH_CONNECTION": "10.9.0.7 50000 10.9.0.1 22"}

    told = subprocess.run(["sh", "-c", below], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert told.stdout == "{'client': '10.9.0.7', 'port': 22}\n", told.stderr


def test_station_json_says_what_the_doctor_shall_find(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    roles = ("station/defaults", "station/vars", "router/vars")
    variables = [{"ansible.builtin.include_vars": str(ROOT / f"roles/{each}/main.yml")} for each in roles]
    write = {"dest": str(told), "content": "{{ _router_station.expected.firewall | to_json }}"}
    facts = {
        "gridtie_listen": "0.0.0.0",
        "gridtie_tls": "project",
        "gridtie_firewall": ["10.1.0.0/16"],
        "gridtie_firewall_ports": [22],
    }
    status, output = play(tmp_path, [*variables, {"ansible.builtin.copy": write}], facts)

    assert status == 0, output
    assert json.loads(told.read_text()) == {
        "table": "gridtie",
        "ports": [22, 8443, 8484],
        "ranges": ["10.1.0.0/16"],
        "unit": "gridtie-firewall.service",
    }
