"""playbooks/report.yml and bench.yml against hosts that tell, tell nothing or are not there: a page is made."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.ledger import Entry
from standins.ledger import cloud, local, open_ledger

ROOT = Path(__file__).resolve().parents[3]
# What the router's image does on a host: the project's own code, over that host's ledger.
COMMAND = """#!/bin/sh
shift
exec env PYTHONPATH={root}/src {python} -m gridtie.report --ledger {ledger} --config {root}/config "$@"
"""
FAILING = """#!/bin/sh
echo 'gridtie: {said}' >&2
exit 2
"""
OLDER = "argument command: invalid choice: 'report' (choose from doctor, fit, gpu, models, usage)"
EMPTY = "/var/lib/gridtie/ledger/ledger.sqlite is empty, and no ledger; start the router, which makes it"


@dataclass
class Fleet:
    """An inventory of this machine under several names, and what a run of a playbook came to."""

    directory: Path
    hosts: dict[str, dict[str, Any]]

    def has(self, name: str, command: str) -> None:
        """A host with this as its command `gridtie`."""
        program = self.directory / name / "bin/gridtie"
        program.parent.mkdir(parents=True)
        program.write_text(command)
        program.chmod(0o755)
        self.hosts[name] = {"gridtie_prefix": str(program.parents[1])}

    def asked(self, name: str, *entries: Entry) -> None:
        """A host whose router was asked this."""
        ledger = open_ledger(self.directory / f"{name}-state")
        for entry in entries:
            ledger.record(entry)
        ledger.close()
        self.has(name, COMMAND.format(root=ROOT, python=sys.executable, ledger=ledger.database))

    def play(self, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        common = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "gridtie_report_dir": str(self.directory / "reports"),
            "gridtie_config_dir": str(self.directory / "none"),
        }
        inventory = self.directory / "hosts.yml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": self.hosts, "vars": common}}))
        program = Path(sys.executable).with_name("ansible-playbook")
        own = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(self.directory / "ansible")}
        return subprocess.run(
            [program, ROOT / "playbooks" / playbook, "-i", inventory, *arguments],
            cwd=ROOT, env={**os.environ, **own}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @property
    def bill(self) -> dict[str, Any]:
        (file,) = (self.directory / "reports").glob("????-??.json")
        found: dict[str, Any] = json.loads(file.read_text())
        return found


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, {})


def test_one_bill_is_made_and_says_whose_ledger_is_missing_and_why(fleet: Fleet) -> None:
    now = time.time()
    fleet.asked("alice", local("a", time=now, key="alice", project="web"), cloud("b", time=now, key="alice"))
    fleet.asked("server", local("c", time=now, key="bob"))
    fleet.has("old", FAILING.format(said=OLDER.replace("'", "")))
    fleet.has("empty", FAILING.format(said=EMPTY))
    fleet.has(
        "newer",
        '#!/bin/sh\nfor word; do case $word in --out=*) echo \'{"schema": 9}\' >"${word#--out=}";; esac; done\n',
    )
    fleet.hosts["bare"] = {"gridtie_prefix": str(fleet.directory / "nothing")}
    fleet.hosts["off"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}

    done = fleet.play("report.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    bill = fleet.bill
    assert {row["group"]: row["requests"] for row in bill["by"]["host"]} == {"alice": 2, "server": 1}
    assert {row["group"]: row["requests"] for row in bill["by"]["person"]} == {"alice": 2, "bob": 1}
    missing = {each["host"]: each["why"] for each in bill["missing"]}
    assert set(missing) == {"old", "empty", "newer", "bare", "off"}
    assert "older than this one" in missing["old"]
    assert "is empty, and no ledger" in missing["empty"]
    assert "schema 9" in missing["newer"]
    assert missing["bare"] == "no gridtie is there: run site.yml against it"
    assert missing["off"].startswith("it cannot be reached")
    assert bill["closed"] is None
    page = next((fleet.directory / "reports").glob("*.html")).read_text()
    assert "off is not in these figures: it cannot be reached" in page
    assert re.search(r"^alice +2 ", done.stdout, re.MULTILINE), done.stdout
    assert list(Path(os.environ.get("TMPDIR", "/tmp")).glob("gridtie-report-*/alice.json")) == []


def test_a_bill_of_hosts_that_are_all_off_says_so(fleet: Fleet) -> None:
    fleet.hosts["off"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}

    done = fleet.play("report.yml")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No host told of its requests" in done.stdout
    assert [each["host"] for each in fleet.bill["missing"]] == ["off"]


def test_a_private_request_at_a_cloud_fails_the_run_after_the_bill_is_written(fleet: Fleet) -> None:
    fleet.asked("alice", cloud("leak", time=time.time(), private=True))

    done = fleet.play("report.yml")

    assert done.returncode != 0
    assert "leak of alice" in fleet.bill["words"]["alarm"]


@pytest.mark.parametrize(("month", "said"), [("2026-13", "2026-13"), ("2999-01", "has not begun")])
def test_a_month_that_is_none_is_refused_before_a_host_is_asked(fleet: Fleet, month: str, said: str) -> None:
    fleet.has("alice", FAILING.format(said="asked"))

    done = fleet.play("report.yml", "-e", f"gridtie_report_month={month}")

    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert not (fleet.directory / "reports").exists()


def test_a_benchmark_of_hosts_without_a_station_says_why_there_is_no_figure(fleet: Fleet) -> None:
    fleet.hosts["bare"] = {}
    fleet.hosts["off"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}

    done = fleet.play("bench.yml")

    assert done.returncode != 0
    (file,) = (fleet.directory / "reports").glob("bench-*.json")
    problems = {row["host"]: row["problem"] for row in json.loads(file.read_text())["rows"]}
    assert "station.json is not there" in problems["bare"]
    assert problems["off"].startswith("it cannot be reached")
