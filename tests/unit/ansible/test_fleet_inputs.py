"""Hosts that contradict each other are told so before anything is changed."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from plugins.action import gridtie_inputs
from plugins.plugin_utils import gridtie_fleet_inputs as fleet
from plugins.plugin_utils.gridtie_certificates import Authority, CertificateError

from standins.authority import make_request

NOW = datetime.datetime.now(datetime.UTC)
OPEN = {"gridtie_listen": "0.0.0.0", "gridtie_tls": "project"}


def make(directory: Path, *, now: datetime.datetime = NOW, days: int = 3650) -> Authority:
    found, _ = Authority.ensure(
        directory / "ca.pem", directory / "ca.key", days=days, renew_days=0, now=now, check=False
    )
    assert found is not None
    return found


def values(directory: Path, **more: Any) -> dict[str, Any]:
    files = {"gridtie_ca_certificate": str(directory / "ca.pem"), "gridtie_ca_key": str(directory / "ca.key")}
    return {**files, **more}


def inventory(authority: Authority | None, *, issued: datetime.datetime = NOW) -> dict[str, dict[str, Any]]:
    """A server that shows a certificate, a workstation that trusts it, and a machine that has nothing to do with it."""
    server = {"server.pem": authority.issue(make_request()[1], ["gpu"], days=90, now=issued)} if authority else {}
    trusted = {"pool-gpu.pem": authority.pem} if authority else {}
    return {
        "gpu": {**OPEN, "_preflight_host_state": {"certificates": server}},
        "alice": {"gridtie_pool": ["gpu"], "_preflight_host_state": {"certificates": trusted}},
        "alone": {},
    }


def found(given: dict[str, Any], hosts: dict[str, Any], host: str = "gpu", **more: Any) -> list[dict[str, str]]:
    others = fleet.Others(hosts, list(hosts), more.pop("taking_part", list(hosts)))
    state, version = more.pop("state", {}), more.pop("version", "1.1.0")
    return fleet.problems({"gridtie_pool": hosts[host].get("gridtie_pool", []), **given}, host, others, state, version)


# --- authorities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_own", [False, True], ids=["has none", "has another"])
def test_an_authority_that_hosts_know_is_not_replaced_by_another_controllers(tmp_path: Path, has_own: bool) -> None:
    theirs, here = make(tmp_path / "theirs"), tmp_path / "here"
    if has_own:
        make(here)

    for host in ("gpu", "alice"):
        (problem,) = found(values(here), inventory(theirs), host)
        assert f"{theirs.identifier} by gpu (tls/server.pem), alice (tls/pool-gpu.pem)" in problem["found"]
        assert str(here / "ca.pem") in problem["found"]
        for way in (f"{here}/ca.key (mode 0600", "ansible-vault", "gridtie_replace_authority=true"):
            assert way in problem["fix"]
    assert found(values(here), inventory(theirs), "alone") == []
    assert here.exists() == has_own


def test_the_controller_that_made_it_goes_on_and_so_does_one_that_was_given_it(tmp_path: Path) -> None:
    ours = make(tmp_path)
    texts = {
        f"gridtie_authority_{name}": (tmp_path / file).read_text()
        for name, file in (("certificate", "ca.pem"), ("key", "ca.key"))
    }

    assert found(values(tmp_path), inventory(ours)) == []
    assert found(values(tmp_path / "nowhere", **texts), inventory(ours)) == []


def test_one_that_was_renewed_is_still_ours(tmp_path: Path) -> None:
    before = make(tmp_path, days=40)
    hosts = inventory(before)
    Authority.ensure(tmp_path / "ca.pem", tmp_path / "ca.key", days=3650, renew_days=90, now=NOW, check=False)

    assert make(tmp_path).identifier != before.identifier
    assert found(values(tmp_path), hosts) == []


def test_a_new_host_learns_of_the_authority_from_the_others(tmp_path: Path) -> None:
    """Also where those take no part in the run and were only looked at."""
    theirs = make(tmp_path / "theirs")
    hosts = inventory(theirs)
    looked_at = [{"item": "gpu", "certificates": hosts["gpu"].pop("_preflight_host_state")["certificates"]}]
    hosts["new"] = {**OPEN, "_preflight_elsewhere": {"results": looked_at}}

    (problem,) = found(values(tmp_path / "here"), hosts, "new", taking_part=["new"])

    assert theirs.identifier in problem["found"]
    assert "gpu (tls/server.pem)" in problem["found"]


def test_hosts_that_could_not_be_asked_are_named() -> None:
    results = [{"item": "gpu", "certificates": {}}, {"item": "off", "unreachable": True}]

    assert fleet.not_looked_at({"results": results}) == ["off"]
    assert fleet.not_looked_at({}) == []


def test_where_no_authority_is_made_nobody_is_said_not_to_have_answered() -> None:
    assert fleet.not_looked_at({"skipped": True, "results": [{"item": "gpu", "skipped": True}]}) == []


def test_two_authorities_are_told_with_the_hosts_of_each(tmp_path: Path) -> None:
    one, other = make(tmp_path / "one"), make(tmp_path / "other")
    hosts = inventory(one)
    hosts["second"] = {**OPEN, "_preflight_host_state": inventory(other)["gpu"]["_preflight_host_state"]}

    (problem,) = found(values(tmp_path / "here"), hosts)

    assert "2 other authorities" in problem["found"]
    assert f"{other.identifier} by second" in problem["found"]


def test_a_workstation_alone_needs_no_authority_for_its_own_run(tmp_path: Path) -> None:
    hosts = inventory(make(tmp_path / "theirs"))

    assert found(values(tmp_path / "here"), hosts, "alice", taking_part=["alice"]) == []


def test_it_is_replaced_knowingly_and_where_nobody_trusts_it_any_more(tmp_path: Path) -> None:
    theirs, here = make(tmp_path / "theirs"), tmp_path / "here"
    long_ago = inventory(theirs, issued=NOW - datetime.timedelta(days=400))
    del long_ago["alice"]["_preflight_host_state"]

    assert found(values(here, gridtie_replace_authority=True), inventory(theirs)) == []
    assert found(values(here), long_ago) == []


def test_half_an_authority_is_told_in_the_list(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "ca.key").unlink()

    (problem,) = found(values(tmp_path), inventory(None))

    assert "there is no" in problem["found"]


def test_a_key_in_a_variable_never_shows_in_a_problem(tmp_path: Path) -> None:
    make(tmp_path / "one")
    make(tmp_path / "other")
    certificate, key = (tmp_path / "one/ca.pem").read_text(), (tmp_path / "other/ca.key").read_text()

    given = values(tmp_path, gridtie_authority_certificate=certificate, gridtie_authority_key=key)
    (problem,) = found(given, inventory(None))

    assert "does not belong to" in problem["found"]
    assert not [line for line in key.splitlines() if line in str(problem)]


def test_a_key_that_is_no_text_is_told_without_showing_it() -> None:
    specs = gridtie_inputs.load_specs(gridtie_inputs.collection.ROOT / "roles")

    (problem,) = gridtie_inputs.check_types(specs, {"gridtie_authority_key": ["secret"]})

    assert "secret" not in str(problem)
    assert problem["fix"] == "set gridtie_authority_key to text"


def test_an_authority_in_variables_is_used_as_it_is_and_writes_no_file(tmp_path: Path) -> None:
    make(tmp_path / "vault", days=40)
    texts = [(tmp_path / "vault" / name).read_text() for name in ("ca.pem", "ca.key")]
    paths = [tmp_path / "here" / name for name in ("ca.pem", "ca.key")]

    authority, why = Authority.of(*texts, *paths, now=NOW, days=3650, renew_days=90, check=False)

    assert authority is not None
    assert (authority.pem, why) == (texts[0], "")
    assert not (tmp_path / "here").exists()
    with pytest.raises(CertificateError, match="gridtie_authority_certificate expired"):
        Authority.told(*texts, NOW + datetime.timedelta(days=41))


# --- versions, pools, routing files -----------------------------------------------------------------------------------


def test_a_station_that_a_newer_checkout_made_is_not_taken_back_unasked() -> None:
    hosts: dict[str, Any] = {"gpu": {}}

    (problem,) = found({}, hosts, state={"version": "1.10.0"}, version="1.9.2")

    assert "1.10.0" in problem["found"]
    assert "docs/upgrade.md" in problem["fix"]
    assert found({"gridtie_downgrade": True}, hosts, state={"version": "1.10.0"}, version="1.9.2") == []
    assert found({}, hosts, state={"version": "1.0.0"}, version="1.1.0") == found({}, hosts) == []


@pytest.mark.parametrize(
    "server", [{}, {"gridtie_tls": "project"}, {**OPEN, "gridtie_listen": "127.0.0.1"}, {**OPEN, "gridtie_tls": "off"}]
)
def test_a_pool_member_that_lets_nobody_in_is_told_where_it_is_asked_for(server: dict[str, Any]) -> None:
    hosts = {"gpu": server, "alice": {"gridtie_pool": ["gpu"]}}

    (problem,) = found({}, hosts, "alice")

    assert "names gpu, whose router lets no other machine in" in problem["found"]
    assert "gridtie_tls: project for gpu" in problem["fix"]
    assert found({}, {**hosts, "gpu": {**OPEN, "gridtie_tls": "given"}}, "alice") == []


def test_an_edited_routing_file_is_judged_as_the_one_that_stays_in_force(tmp_path: Path) -> None:
    routing = tmp_path / "llm_routing.yaml"
    routing.write_text("version: 1\n")
    edit = "version: 1\nsurprise: 1\n"

    assert gridtie_inputs.differs(edit, routing)
    assert not gridtie_inputs.differs(routing.read_text(), routing)
    assert gridtie_inputs.keeps_edits({})
    assert not gridtie_inputs.keeps_edits({"gridtie_routing_edits": "replace"})
    problems, _ = gridtie_inputs.check_kept_routing(edit, "alice:/etc/gridtie/llm_routing.yaml", [])
    surprise = next(problem for problem in problems if "surprise" in problem["found"])
    assert surprise["found"].startswith("alice:/etc/gridtie/llm_routing.yaml:2")
    assert "gridtie_routing_edits=replace" in surprise["fix"]


# --- firewalls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranges", "address", "kept_out"),
    [
        (["10.1.0.0/16"], "10.9.0.7", ["alice"]),
        (["10.1.0.0/16"], "10.1.0.7", []),
        ([], "10.9.0.7", []),
        (["10.1.0.0/16"], "alice.lan", []),  # Only a resolver knows where that is.
        (["the office"], "10.9.0.7", []),  # It has a line of its own.
    ],
)
def test_a_workstation_that_the_servers_firewall_keeps_out_is_named(
    ranges: list[str], address: str, kept_out: list[str]
) -> None:
    hosts: dict[str, Any] = {"gpu": OPEN, "alice": {"gridtie_pool": ["gpu"], "ansible_host": address}, "alone": {}}

    assert (
        fleet.kept_out({"gridtie_firewall": ranges}, "gpu", fleet.Others(hosts, list(hosts), list(hosts))) == kept_out
    )
    assert fleet.kept_out({"gridtie_firewall": ranges}, "alone", fleet.Others(hosts, list(hosts), list(hosts))) == []
