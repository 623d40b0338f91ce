"""A key that is made, changed or taken away on one machine is so on all, and nothing old comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.ledger.postgres.address import Address
from gridtie.ledger.postgres.database import Database
from gridtie.ledger.postgres.keys import SharedKeys
from standins.postgresql import Server


def row(name: str, digit: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": digit * 64, "environments": ["dev"], **more}


Machine = Callable[[str], SharedKeys]


@pytest.fixture
def machine(address: Address, tmp_path: Path) -> Iterator[Machine]:
    opened: list[Database] = []

    def start(name: str) -> SharedKeys:
        for database in [each for each in opened if each.replica == name]:
            database.close()
        opened.append(Database(address, name))
        return SharedKeys(opened[-1], tmp_path / f"{name}.json")

    yield start
    for database in opened:
        database.close()


def names(rows: list[Any]) -> list[str]:
    return sorted(each["name"] for each in rows)


def test_a_key_of_one_machine_is_known_to_the_others(machine: Machine) -> None:
    one, two = machine("1"), machine("2")
    assert names(two.merged([row("bob", "b")])) == ["bob"]
    assert names(one.merged([row("ann")])) == ["ann", "bob"]
    assert two.moved()
    assert names(two.merged([row("bob", "b")])) == ["ann", "bob"]
    assert not two.moved()


def test_what_changes_elsewhere_is_not_undone_by_a_file_that_stayed_as_it_was(machine: Machine) -> None:
    one, two = machine("1"), machine("2")
    one.merged([row("ann")])
    two.merged([row("ann")])
    one.merged([row("ann", expires="2027-01-01T00:00:00Z")])
    assert two.merged([row("ann")]) == [row("ann", expires="2027-01-01T00:00:00Z")]
    one.merged([])
    assert two.merged([row("ann")]) == []


def test_a_key_that_was_taken_away_does_not_come_back_with_a_machine_that_is_new(machine: Machine) -> None:
    one = machine("1")
    one.merged([row("ann"), row("bob", "b")])
    one.merged([row("bob", "c")])
    assert machine("2").merged([row("ann"), row("bob", "b")]) == [row("bob", "c")]


def test_a_name_may_be_given_again(machine: Machine) -> None:
    one, two = machine("1"), machine("2")
    for rows in ([row("ann")], [], [row("ann", "c")]):
        one.merged(rows)
    assert two.merged([]) == [row("ann", "c")]


def test_what_was_changed_while_a_router_was_down_is_told_when_it_starts(machine: Machine) -> None:
    machine("1").merged([row("ann"), row("bob", "b")])
    machine("1").merged([row("bob", "b")])
    assert names(machine("2").merged([])) == ["bob"]


def test_a_machines_own_key_and_those_of_other_stations_stay_where_they_are(machine: Machine) -> None:
    one, two = machine("1"), machine("2")
    relay = row("relay.desk", "d", environments=["relay"], relay=True)
    assert names(one.merged([row("station"), relay])) == ["relay.desk", "station"]
    assert two.merged([row("station", "e")]) == [row("station", "e")]


def test_without_the_database_what_was_known_holds_and_changes_here_do_at_once(
    machine: Machine, postgresql_server: Server
) -> None:
    one, two = machine("1"), machine("2")
    two.merged([row("bob", "b")])
    one.merged([row("ann"), row("cy", "c")])
    postgresql_server.let_in("ledger", False)
    assert names(one.merged([row("ann")])) == ["ann", "bob"]
    assert names(one.merged([row("ann"), row("dot", "d")])) == ["ann", "bob", "dot"]
    postgresql_server.let_in("ledger", True)
    one = machine("1")
    assert one.moved()
    assert names(one.merged([row("ann"), row("dot", "d")])) == ["ann", "bob", "dot"]
    assert names(machine("2").merged([row("bob", "b")])) == ["ann", "bob", "dot"]
