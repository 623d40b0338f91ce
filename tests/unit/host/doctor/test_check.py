"""How checks become a verdict."""

from __future__ import annotations

import json

import pytest

from gridtie.host.doctor.check import Check, Finding, Report, Result, bad, examine, good
from gridtie.host.doctor.checks import CHECKS
from gridtie.host.doctor.look import Look
from gridtie.host.router import Declined
from standins.healthy import CONFIG, ENDPOINT, KEY, STATE, Healthy


def fails(_: Look) -> Finding:
    return bad("this", "that", "do it")


def holds(_: Look) -> Finding:
    return good("this")


def raises(error: Exception) -> Check:
    def look(_: Look) -> Finding:
        raise error

    return Check("a", "something", look)


def test_pass_only_when_every_check_holds() -> None:
    assert Healthy().examine([Check("a", "w", holds)])["a"].ok
    report = examine([Check("a", "w", holds), Check("b", "w", fails)], look())
    assert report.as_document()["verdict"] == "FAIL"


def look() -> Look:
    return Look(Healthy(), CONFIG, STATE, ENDPOINT, KEY)


def test_the_document_is_the_contract() -> None:
    document = json.loads(json.dumps(examine(CHECKS, look()).as_document()))
    assert document["verdict"] == "PASS"
    assert {"id", "ok", "what", "found", "wanted", "fix"} <= document["checks"][0].keys()
    assert [check["id"] for check in document["checks"]] == [check.id for check in CHECKS]


def test_a_check_that_rests_on_a_failed_one_is_not_made_and_names_the_root() -> None:
    checks = [
        Check("a", "w", fails),
        Check("b", "w", holds, ("a",)),
        Check("c", "w", holds, ("b",)),
        Check("d", "w", holds),
    ]
    results = Healthy().examine(checks)
    assert [results[id].blocked_by for id in "abcd"] == [(), ("a",), ("a",), ()]
    assert not results["c"].ok
    assert results["c"].found == "not checked, it rests on a"
    assert results["d"].ok


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (PermissionError(13, "Permission denied", "/etc/gridtie/x"), "/etc/gridtie/x may not be read by this user"),
        (FileNotFoundError(2, "No such file or directory", "/etc/x"), "/etc/x: No such file or directory"),
        (Declined(503, "busy", "too busy"), "the router answered 503: too busy"),
        (KeyError("digest"), "the check itself failed: KeyError: 'digest'"),
    ],
)
def test_a_check_that_breaks_is_a_failure_and_not_the_end(error: Exception, found: str) -> None:
    results = Healthy().examine([raises(error), Check("b", "w", holds)])
    assert results["a"].found == found
    assert results["b"].ok


def test_each_result_is_told_as_it_is_known() -> None:
    told: list[Result] = []
    report = examine([Check("a", "w", holds), Check("b", "w", fails)], look(), told.append)
    assert tuple(told) == report.results


def test_with_the_router_down_everything_else_is_still_looked_at() -> None:
    station = Healthy()
    station.router_up = False
    results = station.examine()
    failed = {id for id, result in results.items() if not result.ok and not result.blocked_by}
    assert failed == {"router.alive"}
    assert results["engine.version"].ok and results["network.listening"].ok and results["engine.digests"].ok
    assert results["ledger.row"].blocked_by == ("router.alive",)


def test_with_docker_down_the_router_is_still_looked_at() -> None:
    station = Healthy()
    station.docker = type(station.docker)(1, "", "Cannot connect")
    results = station.examine()
    assert results["router.key"].ok and results["engine.deterministic"].ok
    assert results["containers.running"].blocked_by == ("docker.answers",)


def test_a_container_that_is_not_there_is_said_once() -> None:
    station = Healthy()
    del station.containers["gridtie-engine-1"]
    results = station.examine()
    failed = {id for id, result in results.items() if not result.ok and not result.blocked_by}
    assert failed == {"containers.exist"}


def test_what_to_run_is_told_as_whoever_made_the_station_can_type_it() -> None:
    theirs, ours = Healthy(), Healthy()
    theirs.station["site_command"] = "ansible-playbook gridtie.gridtie.site"
    told = []
    for station in (theirs, ours):
        del station.containers["gridtie-engine-1"]
        told.append(station.examine()["containers.exist"].fix)

    assert told == ["run `ansible-playbook gridtie.gridtie.site`", "run `make site`"]


def test_a_station_that_cannot_be_read_has_a_fix_all_the_same() -> None:
    station = Healthy()
    station.station = {"schema": 2}

    assert any("make site" in result.fix for result in station.examine().values())


def test_without_a_key_it_says_so() -> None:
    results = Healthy().examine(key="")
    assert results["router.key"].found == "no key"
    assert results["route.private"].blocked_by == ("router.key",)


def test_needs_name_checks_that_come_before() -> None:
    seen: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= seen
        seen.add(check.id)


def test_an_empty_report_is_no_pass() -> None:
    assert not Report((), 0.0).ok


def test_a_container_that_was_just_started_is_given_the_time_until_its_health_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    station = Healthy()
    state = station.containers["gridtie-router-1"]["State"]
    state["Health"] = {"Status": "starting"}
    monkeypatch.setattr("gridtie.host.doctor.look.time.sleep", lambda _: state.update(Health={"Status": "healthy"}))

    assert station.examine()["containers.running"].ok


def test_one_that_does_not_come_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    station = Healthy()
    station.containers["gridtie-router-1"]["State"]["Health"] = {"Status": "starting"}
    monkeypatch.setattr("gridtie.host.doctor.look.START_S", 0.0)

    found = station.examine()["containers.running"]

    assert (found.ok, found.found) == (False, "gridtie-router-1 is starting")
