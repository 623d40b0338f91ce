"""A decision can be asked for without sending anything."""

from __future__ import annotations

import json
import re

import pytest

from gridtie.gateway.claims import Claims, claimed
from gridtie.gateway.dispatch import request_info
from gridtie.gateway.keys import Key
from gridtie.routing.explain import explain, read_query
from gridtie.routing.snapshot import Snapshot, TargetState
from standins import house
from standins.house import CLOUD, LARGE

KEY = Key(name="station", environments=("dev", "test", "ci", "production"))


def explained(body: dict[str, object], environment: str = "dev", **states: TargetState) -> dict[str, object]:
    snapshot = Snapshot(now=0.0, states=house.states(**states))
    query = read_query(json.dumps(body).encode())
    claims = claimed(KEY, environment, query.agent, query.tags, query.purpose)
    assert isinstance(claims, Claims)
    return explain(request_info("explain", query.surface, query.facts(), KEY, claims), house.policy(), snapshot)


def test_it_shows_every_attempt_with_its_reason() -> None:
    shown = explained({"model": "coder"})

    assert shown["rule"] == "dev"
    assert [(each["target"], each["reason"]) for each in shown["attempts"]] == [
        (LARGE, 'rule "dev" uses local first'),
        (CLOUD, 'rule "dev" uses cloud after local'),
    ]


def test_it_shows_what_was_left_out_and_why_nothing_may_leave() -> None:
    shown = explained({"model": "coder", "tags": ["private"]}, large=TargetState(ready=False, last_error="refused"))

    assert shown["local_only"] == "the request is tagged private"
    assert shown["skipped"] == [
        {"target": LARGE, "reason": "its engine does not answer (refused)", "code": "unready", "retry_after": None}
    ]
    assert shown["refusal"]["code"] == "no_local_ready"


def test_it_shows_time_outs_and_retries_and_whose_they_are() -> None:
    rules = [{"name": "all", "use": ["local"], "timeouts": {"total": 60}, "retries": {"count": 2}}]
    info = house.request("coder")

    shown = explain(info, house.policy(rules=rules), Snapshot(now=0.0, states=house.states()))

    assert (shown["timeouts"]["total"], shown["timeouts"]["connect"]) == (60, 2)
    assert shown["retries"] == {"count": 2, "backoff": 0.5, "max_backoff": 8.0}
    assert shown["set_by"] == {"timeouts.total": 'rule "all"', "retries.count": 'rule "all"'}


def test_the_answer_is_plain_json_and_holds_no_key() -> None:
    text = json.dumps(explained({}, environment="production"))

    assert CLOUD in text
    assert "sk-test" not in text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"[]", "this does not describe a request"),
        (b'{"modell": "x"}', "unknown field `modell`; known: model, environment"),
        (b'{"needs": ["wings"]}', "wings found, wanted any of embeddings, json, tools, vision"),
        (b'{"prompt_tokens": -1}', "prompt_tokens is -1, wanted a whole number from 0 to"),
        (b"\xff", "this does not describe a request"),
    ],
)
def test_a_request_that_is_described_wrongly_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        read_query(body)
