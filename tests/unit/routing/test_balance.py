"""Which member of a pool comes first: by what is known of each, and otherwise by the request's own lot."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gridtie.config.station import Member, Station
from gridtie.routing import balance
from gridtie.routing.decide import decide
from gridtie.routing.plan import Plan
from gridtie.routing.policy import Policy
from gridtie.routing.snapshot import Snapshot, TargetState
from standins import house
from standins.house import LARGE

MODEL = "gridtie/qwen2.5-coder:7b"
NOW = 1000.0
ONE, TWO, THREE = (f"pool.{name}/{MODEL}" for name in ("one", "two", "three"))


def station() -> Station:
    """The house's, with three members that have its large model, in two slots each."""
    own = house.station()
    pool = [
        Member(
            name=name,
            url=f"https://{name}:8443",
            key_file=f"secrets/{name}",
            ca_file="/etc/gridtie/tls/pool-ca.pem",
            models=[own.models[1]],
        )
        for name in ("one", "two", "three")
    ]
    return Station(schema=1, engine=own.engine, models=own.models, pool=pool)


def routing(**rule: Any) -> Any:
    providers = {**house.document()["providers"], "pool": {"type": "pool", "prefer": "always"}}
    return house.routing(providers=providers, rules=[{"name": "all", "use": ["local"], **rule}])


RULES = routing()
POLICY = Policy(RULES, house.targets(RULES, station()))


def plan(id: str = "r1", holds_prefix: str = "", **states: TargetState) -> Plan:
    names = {"one": ONE, "two": TWO, "three": THREE, "own": LARGE}
    known = {names[name]: states.get(name, TargetState(loaded=True)) for name in names}
    return decide(house.request(id=id), POLICY, Snapshot(now=NOW, states=known, holds_prefix=holds_prefix))


def pooled(plan: Plan) -> list[str]:
    return [each.target.id for each in plan.attempts if each.target.lends]


def fast(tokens_per_second: float, **more: Any) -> TargetState:
    return TargetState(loaded=True, tokens=10 * tokens_per_second, seconds=10.0, measured_at=NOW - 5, **more)


ORDERS = [
    ("a free one before a full one", {"one": TargetState(loaded=True, in_flight=2)}, [TWO, THREE], [ONE]),
    (
        "one that others have filled, as it says, counts as full",
        {"one": TargetState(loaded=True, offered=0), "two": TargetState(loaded=True, in_flight=1, offered=1)},
        [THREE],
        [ONE, TWO],
    ),
    (
        "one that has the model in memory before one that does not",
        {"one": TargetState(loaded=False), "three": TargetState(loaded=False)},
        [TWO],
        [ONE, THREE],
    ),
    ("the fastest first", {"one": fast(20), "two": fast(60), "three": fast(40)}, [TWO], [THREE], [ONE]),
    (
        "speeds that differ by a tenth are the same",
        {"one": fast(50), "two": fast(55), "three": fast(20)},
        [ONE, TWO],
        [THREE],
    ),
    ("one whose speed is not known is tried", {"one": fast(50), "two": fast(20)}, [ONE, THREE], [TWO]),
    (
        "of equal ones the one that has more of its slots free",
        {"one": TargetState(loaded=True, in_flight=1), "two": TargetState(loaded=True, offered=1)},
        [THREE],
        [ONE, TWO],
    ),
    (
        "one that is a small part as fast is the last, also where the others are full",
        {"one": fast(50, in_flight=2), "two": fast(50, in_flight=2), "three": fast(5)},
        # It could begin at once: free comes before full.
        [THREE],
        [ONE, TWO],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("states", "groups"), [(row[1], row[2:]) for row in ORDERS], ids=[row[0] for row in ORDERS])
def test_members_are_ordered_by_what_is_known_of_them(
    states: dict[str, TargetState], groups: tuple[list[str], ...]
) -> None:
    found = pooled(plan(**states))

    for group in groups:
        assert set(found[: len(group)]) == set(group)
        found = found[len(group) :]
    assert not found


def test_equal_members_are_chosen_alike_by_requests_that_know_the_same() -> None:
    """Ten routers with one knowledge must not choose one member."""
    first = Counter(pooled(plan(f"request-{number}"))[0] for number in range(3000))

    assert set(first) == {ONE, TWO, THREE}
    assert all(abs(count - 1000) < 150 for count in first.values())


def test_the_same_request_is_decided_about_in_the_same_way() -> None:
    assert pooled(plan("x")) == pooled(plan("x"))


def test_a_session_stays_with_a_member_that_is_free_and_leaves_one_that_is_full() -> None:
    quick = {"one": fast(90), "two": fast(30), "three": fast(30)}

    assert pooled(plan(holds_prefix=TWO, **quick))[0] == TWO
    assert pooled(plan(holds_prefix=TWO, **{**quick, "two": fast(30, in_flight=2)}))[0] == ONE


def test_the_own_engine_keeps_its_place_among_them() -> None:
    ids = [each.target.id for each in plan(one=fast(1), two=fast(50)).attempts]

    assert ids.index(LARGE) == 3


def test_members_stand_in_one_line_and_a_slow_one_in_none() -> None:
    lines = {each.target.id: each.line for each in plan(one=fast(50), two=fast(5)).attempts}

    assert lines[ONE] == lines[THREE] != ""
    assert lines[TWO] == lines[LARGE] == ""


def test_a_measured_speed_is_a_reason_and_is_forgotten() -> None:
    told = next(each.reason for each in plan(one=fast(50)).attempts if each.target.id == ONE)
    old = fast(50)
    old.measured_at = NOW - balance.SPEED_SECONDS - 1

    assert told.endswith("; 50 tokens/s of late")
    assert balance.speed(old, NOW) is None


def test_an_engine_that_gave_nothing_in_its_time_is_slow_and_no_fault() -> None:
    states = {"one": fast(50), "two": fast(0)}

    assert pooled(plan(**states))[-1] == TWO
