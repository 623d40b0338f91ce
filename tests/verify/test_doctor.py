"""The doctor's verdict, check by check."""

from __future__ import annotations

from typing import Any

import pytest

from gridtie.host.doctor.checks import CHECKS


@pytest.fixture(scope="module")
def report(machine: Any) -> dict[str, Any]:
    found: dict[str, Any] = machine.doctor()
    return found


def test_the_machine_makes_the_checks_of_this_version(report: dict[str, Any]) -> None:
    assert [check["id"] for check in report["checks"]] == [check.id for check in CHECKS]


@pytest.mark.parametrize("id", [check.id for check in CHECKS])
def test_check_holds(report: dict[str, Any], id: str) -> None:
    check = next(check for check in report["checks"] if check["id"] == id)
    assert check["ok"], f"{check['what']}: found {check['found']}; wanted {check['wanted']}; {check['fix']}"


def test_the_verdict_is_pass(report: dict[str, Any]) -> None:
    assert report["verdict"] == "PASS"
