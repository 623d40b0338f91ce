"""Time-outs and retries: a rule's before its alias's, both before the file's, each with whose it is."""

from __future__ import annotations

from typing import Any

from gridtie.routing.bounds import longest
from gridtie.routing.decide import decide
from gridtie.routing.plan import Plan
from gridtie.routing.snapshot import Snapshot
from standins import house


def plan(environment: str = "dev", alias: str = "coder", **changes: Any) -> Plan:
    snapshot = Snapshot(now=0.0, states=house.states())
    return decide(house.request(alias, environment), house.policy(**changes), snapshot)


def changed(alias: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
    """The house with settings of `coder` and of the rule `dev`."""
    document = house.document()
    document["models"]["coder"] |= alias
    document["rules"][2] |= rule
    return {"models": document["models"], "rules": document["rules"]}


FILE = {"timeouts": {"first_token": 50, "total": 100}, "retries": {"count": 1}}
OWN = changed(
    {"timeouts": {"first_token": 20, "between_tokens": 7}, "retries": {"backoff": 2}},
    {"timeouts": {"first_token": 10, "total": 500}, "retries": {"count": 3}},
)


def test_each_setting_comes_from_the_narrowest_that_has_it() -> None:
    bounds = plan(**FILE, **OWN).bounds

    assert (bounds.timeouts.first_token, bounds.timeouts.between_tokens) == (10, 7)
    assert (bounds.timeouts.total, bounds.timeouts.connect) == (500, 2)
    assert (bounds.retries.count, bounds.retries.backoff, bounds.retries.max_backoff) == (3, 2, 8)
    assert bounds.whose == {
        "timeouts.first_token": 'rule "dev"',
        "timeouts.between_tokens": 'alias "coder"',
        "timeouts.total": 'rule "dev"',
        "retries.backoff": 'alias "coder"',
        "retries.count": 'rule "dev"',
    }


def test_other_rules_and_aliases_keep_theirs() -> None:
    assert plan("production", **FILE, **OWN).bounds.timeouts.first_token == 20
    assert plan("dev", "chat", **FILE, **OWN).bounds.timeouts.first_token == 10
    assert plan("production", "chat", **FILE, **OWN).bounds.whose == {}


def test_a_setting_is_named_with_whose_it_is() -> None:
    bounds = plan(**FILE, **OWN).bounds

    assert bounds.setting("timeouts.total") == 'timeouts.total of rule "dev"'
    assert bounds.setting("timeouts.connect") == "timeouts.connect"


def test_the_time_to_the_first_token_holds_at_every_attempt() -> None:
    assert [attempt.first_token for attempt in plan(**FILE, **OWN).attempts] == [10, 10]


def test_the_longest_of_all_is_what_any_request_may_take() -> None:
    assert longest(house.routing(**FILE, **OWN)) == 500
    assert longest(house.routing(**FILE)) == 100
