"""Checks as JUnit XML: a suite for each host, a case for each check."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What XML 1.0 cannot hold, such as the escape of a terminal's colours.
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class Host:
    """What was heard of one host until now."""

    # Name of the task or of its role -> why it failed.
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    # The doctor's checks.
    checks: list[Mapping[str, Any]] = field(default_factory=list)


def document(hosts: Mapping[str, Host], tests: Path) -> ET.Element:
    """All hosts as `testsuites`; ``tests`` holds what pytest wrote of each, as HOST.xml.

    The tests ask the doctor again: where they were run, their cases are the checks. A host's failed task is a case,
    unless a check says already what failed.
    """
    suites = ET.Element("testsuites", name="gridtie")
    for name, host in hosts.items():
        ran = _ran(tests / f"{name}.xml")
        cases = ran or [_check(check) for check in host.checks]
        told = any(_faults(case) for case in cases)
        cases += [_failure(*failure) for failure in host.failures if not told]
        suite = ET.SubElement(suites, "testsuite", name=name, hostname=name)
        suite.extend(cases)
        for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(key, str(sum(case.find(tag) is not None for case in cases)))
        suite.set("tests", str(len(cases)))
        suite.set("time", f"{sum(float(case.get('time', 0)) for case in cases):.3f}")
    for key in ("tests", "failures", "errors", "skipped"):
        suites.set(key, str(sum(int(suite.get(key, 0)) for suite in suites)))
    return suites


def _ran(file: Path) -> list[ET.Element]:
    """Pytest's cases; none where it did not come to write them."""
    try:
        return list(ET.parse(file).iter("testcase"))  # noqa: S314 - pytest wrote it here
    except (OSError, ET.ParseError):
        return []


def _faults(case: ET.Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def _check(check: Mapping[str, Any]) -> ET.Element:
    case = ET.Element("testcase", classname="gridtie.doctor", name=str(check.get("id")), time="0")
    if not check.get("ok"):
        message = f"{check.get('what')}: found {check.get('found')}"
        more = [f"{name}: {check[name]}" for name in ("wanted", "fix") if check.get(name)]
        _add_failure(case, message, "\n".join([message, *more]))
    return case


def _failure(role: str, task: str, message: str) -> ET.Element:
    case = ET.Element("testcase", classname=f"gridtie.{role or 'playbook'}", name=task, time="0")
    _add_failure(case, (message.strip().splitlines() or [""])[0], message)
    return case


def _add_failure(case: ET.Element, message: str, text: str) -> None:
    failure = ET.SubElement(case, "failure", message=_NO_XML.sub("?", message))
    failure.text = _NO_XML.sub("?", text)
