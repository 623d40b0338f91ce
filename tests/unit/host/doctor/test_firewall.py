"""The rules that say who is let in: the doctor tells when they are not those that were declared."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gridtie.host.command import Ran
from gridtie.host.doctor.check import Result
from standins.healthy import Healthy


def looked_at(change: Callable[[Healthy], object]) -> Result:
    station = Healthy()
    station.lets_in("10.1.0.0/16", "fd00::/8")
    change(station)
    return station.examine()["network.firewall"]


def test_rules_as_they_were_declared_hold() -> None:
    result = looked_at(lambda _: None)

    assert result.ok
    assert result.found == "port 8443, 8484 from 10.1.0.0/16, fd00::/8 alone"


def listing(old: str, new: str) -> Callable[[Healthy], object]:
    def change(station: Healthy) -> None:
        assert old in station.nft.out
        station.nft = Ran(0, station.nft.out.replace(old, new), "")

    return change


def nft_says(error: str) -> Callable[[Healthy], object]:
    return lambda station: setattr(station, "nft", Ran(1, "", error))


def unit_is(active: str, at_boot: str) -> Callable[[Healthy], object]:
    text = f"ActiveState={active}\nUnitFileState={at_boot}\n"
    return lambda station: setattr(station, "firewall_unit", text)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (nft_says("Error: No such file or directory"), "the table inet gridtie is not loaded"),
        (listing("fd00::/8", "::/0"), "from6 lacks fd00::/8; from6 has ::/0 as well"),
        (listing("elements = { 10.1.0.0/16 }", ""), "from4 lacks 10.1.0.0/16"),
        (listing("8443, ", ""), "ports lacks 8443"),
        (listing("counter drop", "counter accept"), "its rules are not those that were written"),
        (listing("ct direction reply accept", "accept"), "its rules are not those that were written"),
        (listing("prerouting", "input"), "its rules are not those that were written"),
        (unit_is("inactive", "enabled"), "the rules are loaded, and gridtie-firewall.service is inactive"),
        (unit_is("active", "disabled"), "disabled at boot"),
        (unit_is("active", ""), "not there at boot"),
    ],
)
def test_what_differs_is_told_with_what_brings_it_back(change: Callable[[Healthy], object], found: str) -> None:
    result = looked_at(change)

    assert not result.ok
    assert found in result.found
    assert "run `make site`" in result.fix


def test_who_may_not_see_them_is_told_to_use_sudo() -> None:
    result = looked_at(nft_says("Error: Could not process rule: Operation not permitted"))

    assert not result.ok
    assert result.fix == "run it with sudo"


def test_where_none_are_declared_nobody_asks_for_them() -> None:
    result = Healthy().examine()["network.firewall"]

    assert result.ok
    assert "no rules of its own (gridtie_firewall)" in result.found
