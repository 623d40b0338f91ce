"""playbooks/report.yml and bench.yml against hosts that tell, tell nothing or are not there: a page is made."""

from __future__ import annotations

import datetime
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
from unit.bench.test_fleet import document, line

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


# Answers as `gridtie bench`, `fit` and `doctor` do, and keeps how it was called.
MEASURING = """#!{python}
import json, os, sys
command, *words = sys.argv[1:]
with open({calls!r}, "a") as calls:
    calls.write(json.dumps([command, words, os.getcwd(), os.environ.get("GRIDTIE_STATE_DIR", "")]) + "\\n")
answers = json.load(open({answers!r}))
if command == "bench":
    if words[0] not in answers["bench"]:
        sys.exit(f"gridtie: there is no target {{words[0]}}")
    (file,) = [word.partition("=")[2] for word in words if word.startswith("--json=")]
    json.dump(answers["bench"][words[0]], open(file, "w"))
else:
    print(json.dumps(answers[command]))
"""


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


def test_a_run_that_asks_some_hosts_alone_does_not_close_a_month_without_the_others(fleet: Fleet) -> None:
    before = datetime.datetime.now().replace(day=1) - datetime.timedelta(days=2)
    for name in ("alice", "bob"):
        fleet.asked(name, local(f"of-{name}", time=before.timestamp(), key=name))

    done = fleet.play("report.yml", "--limit", "alice", "-e", f"gridtie_report_month={before:%Y-%m}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert fleet.bill["missing"] == [{"host": "bob", "why": "it was not asked, since --limit left it out"}]
    assert fleet.bill["closed"] is None
    assert "of 1 of 2 hosts" in fleet.bill["words"]["headline"]


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


def test_each_model_of_a_host_is_measured_and_held_against_what_was_predicted_there(fleet: Fleet) -> None:
    calls, answers, config = (fleet.directory / name for name in ("calls", "answers.json", "config"))
    names = ("gridtie/qwen:7b", "gridtie/other:1b", "gridtie/embedder:1b")
    models = [
        {"name": name, "catalogue": name.partition("/")[2], "predicted_bytes": 6 << 30, "purposes": [purpose]}
        for name, purpose in zip(names, ("code", "chat", "embeddings"), strict=True)
    ]
    config.mkdir()
    (config / "station.json").write_text(json.dumps({"schema": 1, "version": "1.1.0", "models": models}))
    check = {"id": "memory.fit", "ok": True, "found": "as predicted", "wanted": ""}
    told = {
        "bench": {"station/gridtie/qwen:7b": document(line(), line(4))},
        "fit": {"models": [{"name": "qwen:7b", "estimated_tokens_per_second": 100.0}]},
        "doctor": {"checks": [check]},
    }
    answers.write_text(json.dumps(told))
    fleet.has("desk", MEASURING.format(python=sys.executable, calls=str(calls), answers=str(answers)))

    done = fleet.play("bench.yml", "-e", json.dumps({"gridtie_config_dir": str(config), "gridtie_bench_requests": 7}))

    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = (fleet.directory / "reports").glob("bench-*.json")
    first, second = json.loads(file.read_text())["rows"]
    assert (first["model"], first["off"]) == (names[0], ["40 tokens/s, 100 were predicted"])
    assert first["memory"]["ok"] is True
    assert (second["model"], second["problem"]) == (names[1], "there is no target station/gridtie/other:1b")
    called = [json.loads(each) for each in calls.read_text().splitlines()]
    assert [command for command, *_ in called] == ["fit", "bench", "bench", "doctor"]
    # Speed is predicted without the ledger, in which it would be a measured one.
    assert called[0][3].startswith("/")
    words, place = called[1][1], called[1][2]
    assert {"--requests=7", "--profile=chat", "--concurrency=1,4"} <= set(words)
    assert f"--json={place}/0.json" in words
    assert not Path(place).exists()
    assert re.search(r"^desk +gridtie/qwen:7b ", done.stdout, re.MULTILINE), done.stdout
