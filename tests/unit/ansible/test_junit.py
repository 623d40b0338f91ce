"""`make verify JUNIT=file`: what a pipeline shows of the checks, whatever the run came to."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from plugins.plugin_utils.gridtie_junit import Host, document

ROOT = Path(__file__).resolve().parents[3]
HOLDS = {"id": "router.ready", "ok": True, "what": "The router is ready", "found": "it is"}
FAILS = {
    "id": "engine.memory",
    "ok": False,
    "what": "The engine has room",
    "found": "1 GiB",
    "wanted": "2 GiB",
    "fix": "less",
}
PYTEST = """<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="2">
<testcase classname="test_requests" name="test_chat" time="1.5"/>
<testcase classname="test_doctor" name="test_check_holds[x]" time="0.5">{fault}</testcase></testsuite></testsuites>"""
FAULT = '<failure message="assert">why</failure>'
TESTS_FAILED = ("doctor", "Run the tests on this machine", "non-zero return code")

# As verify.yml does it, with the tests written by hand.
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: A task that fails on one host
      ansible.builtin.assert:
        that: inventory_hostname != 'broken'
        fail_msg: there is no station here
    - name: A task that fails and is rescued
      block:
        - ansible.builtin.assert: {that: false, quiet: true}
      rescue:
        - ansible.builtin.meta: noop
    - name: The tests of the other one
      ansible.builtin.copy:
        dest: "{{ lookup('ansible.builtin.env', 'GRIDTIE_JUNIT_PARTS') }}/{{ inventory_hostname }}.xml"
        content: '<testsuites><testsuite><testcase classname="c" name="n" time="1"/></testsuite></testsuites>'
"""


def suites(hosts: dict[str, Host], directory: Path) -> dict[str, list[tuple[str, str, str]]]:
    """Host -> its cases: where they are from, what they are called, why they failed."""
    told = document(hosts, directory)
    return {
        suite.get("name", ""): [
            (case.get("classname", ""), case.get("name", ""), case[0].get("message", "") if len(case) else "")
            for case in suite
        ]
        for suite in told
    }


def test_the_doctors_checks_are_cases_and_a_failed_one_says_what_to_do(tmp_path: Path) -> None:
    told = document({"alice": Host(checks=[HOLDS, FAILS])}, tmp_path)

    assert [case.get("name") for case in told.iter("testcase")] == ["router.ready", "engine.memory"]
    (failure,) = told.iter("failure")
    assert failure.text == "The engine has room: found 1 GiB\nwanted: 2 GiB\nfix: less"
    assert (told.get("tests"), told.get("failures")) == ("2", "1")


def test_where_the_tests_were_run_their_cases_are_the_checks(tmp_path: Path) -> None:
    (tmp_path / "alice.xml").write_text(PYTEST.format(fault=""))

    told = document({"alice": Host(checks=[HOLDS])}, tmp_path)

    assert [case.get("name") for case in told.iter("testcase")] == ["test_chat", "test_check_holds[x]"]
    assert told[0].get("time") == "2.000"


def test_tests_that_failed_are_told_once(tmp_path: Path) -> None:
    (tmp_path / "alice.xml").write_text(PYTEST.format(fault=FAULT))

    assert suites({"alice": Host(failures=[TESTS_FAILED])}, tmp_path) == {
        "alice": [("test_requests", "test_chat", ""), ("test_doctor", "test_check_holds[x]", "assert")]
    }


def test_a_failed_doctor_is_told_by_its_checks_or_else_by_itself(tmp_path: Path) -> None:
    """It also fails where it ends badly with all checks made."""
    task = ("doctor", "Examine the station", "0 of 38 checks do not hold")
    told = suites({"a": Host([task], [FAILS]), "b": Host([task], [HOLDS])}, tmp_path)

    assert [name for _, name, message in told["a"] if message] == ["engine.memory"]
    assert [name for _, name, message in told["b"] if message] == ["Examine the station"]


@pytest.mark.parametrize("left", ["", "<testsuites><testsu", PYTEST.format(fault="")])
def test_tests_that_broke_off_are_no_success(tmp_path: Path, left: str) -> None:
    """Nothing was written, half of it, or all of it before the end went wrong."""
    if left:
        (tmp_path / "alice.xml").write_text(left)

    cases = suites({"alice": Host(failures=[TESTS_FAILED])}, tmp_path)["alice"]

    assert cases[-1] == ("gridtie.doctor", "Run the tests on this machine", "non-zero return code")


def test_what_xml_cannot_hold_is_replaced(tmp_path: Path) -> None:
    told = document({"alice": Host(failures=[("router", "Ready", "\x1b[31mno\x00")])}, tmp_path)

    assert "?[31mno?" in ET.tostring(ET.fromstring(ET.tostring(told)), encoding="unicode")


def play(directory: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """A run over two hosts, one of which fails."""
    (directory / "play.yml").write_text(PLAY)
    (directory / "hosts.yml").write_text(
        f"all:\n  vars: {{ansible_connection: local, ansible_python_interpreter: {sys.executable}}}\n"
        "  hosts: {whole: , broken: }\n"
    )
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        cwd=directory,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_that_fails_on_one_host_leaves_the_file_with_both(tmp_path: Path) -> None:
    file = tmp_path / "reports/gridtie.xml"
    file.parent.mkdir()
    file.write_text("of an earlier run")

    done = play(tmp_path, GRIDTIE_JUNIT=str(file), TMPDIR=str(tmp_path))

    assert done.returncode == 2, done.stdout + done.stderr
    told = {suite.get("name"): suite for suite in ET.parse(file).getroot()}
    assert {name: suite.get("failures") for name, suite in told.items()} == {"whole": "0", "broken": "1"}
    assert [failure.get("message") for failure in told["broken"].iter("failure")] == ["there is no station here"]
    assert list(tmp_path.glob("gridtie-junit-*")) == []


def test_a_run_that_was_not_asked_writes_nothing(tmp_path: Path) -> None:
    play(tmp_path, TMPDIR=str(tmp_path))

    assert list(tmp_path.rglob("*.xml")) == []
