"""A session stays with the engine that holds its prefix: what is remembered, decided by it, and sent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gridtie.dialects.openai_chat.facts import read
from gridtie.routing.decide import decide
from gridtie.routing.plan import Plan
from gridtie.routing.policy import Policy
from gridtie.routing.sessions import Sessions, digest
from gridtie.routing.snapshot import Snapshot, TargetState
from standins import house
from standins.router import Station, chat, run
from standins.scripted import Upstream, stream, whole

# Two machines that serve one model, one that serves another, and a cloud.
FIRST, SECOND, OTHER = "one/coder-7b", "two/coder-7b", "three/coder-30b"
BUSY = TargetState(loaded=True, in_flight=1)


def machine(port: int) -> dict[str, Any]:
    return {"type": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "locality": "local", "max_in_flight": 1}


def policy(local: list[Any]) -> Policy:
    providers = house.DOCUMENT["providers"] | {"one": machine(1), "two": machine(2), "three": machine(3)}
    models = {"coder": {"local": local, "cloud": {"provider": "openai", "model": "gpt-5.4-mini"}}}
    return house.policy(providers=providers, models=models)


POLICY = policy([FIRST, OTHER, SECOND])


def plan(holds_prefix: str, *, of: Policy = POLICY, tokens: int = 100, **states: TargetState) -> Plan:
    by_id = {FIRST: TargetState(), SECOND: TargetState(), OTHER: TargetState()}
    by_id |= {name: states[name.partition("/")[0]] for name in by_id if name.partition("/")[0] in states}
    in_flight = {name.partition("/")[0]: state.in_flight for name, state in by_id.items()}
    snapshot = Snapshot(now=0.0, states=by_id, provider_in_flight=in_flight, holds_prefix=holds_prefix)
    return decide(house.request(prompt_tokens=tokens), of, snapshot)


def order(found: Plan) -> list[str]:
    return [attempt.target.id for attempt in found.attempts if attempt.target.locality == "local"]


ORDER = [FIRST, OTHER, SECOND]


@pytest.mark.parametrize(
    ("what", "holds", "states", "wanted"),
    [
        ("a new session goes by the rule's order", "", {}, ORDER),
        ("a known one goes back to its engine", SECOND, {}, [SECOND, FIRST, OTHER]),
        ("also where that is the first anyway", FIRST, {}, ORDER),
        ("not to one that is busy", SECOND, {"two": BUSY}, ORDER),
        ("nor to one that has unloaded the model", SECOND, {"two": TargetState(loaded=False)}, ORDER),
        ("nor to one that does not answer", SECOND, {"two": TargetState(ready=False)}, [FIRST, OTHER]),
        ("nor to one that is paused", SECOND, {"two": TargetState(retry_at=9.0)}, [FIRST, OTHER]),
        ("another model keeps its place: which model answers is the rule's", OTHER, {}, ORDER),
        ("an engine that is no longer there changes nothing", "four/coder-7b", {}, ORDER),
        ("nor does a cloud", "openai/gpt-5.4-mini", {}, ORDER),
    ],
)
def test_where_a_session_goes(what: str, holds: str, states: dict[str, TargetState], wanted: list[str]) -> None:
    assert order(plan(holds, **states)) == wanted, what


def test_the_plan_says_that_it_is_for_the_sessions_sake() -> None:
    first = plan(SECOND).attempts[0]

    assert first.reason.startswith('rule "dev" uses local first')
    assert first.reason.endswith("; it holds the prefix of this session")
    assert "session" not in plan("").attempts[0].reason


def test_the_plan_of_one_session_is_not_that_of_the_next() -> None:
    """Plans for when all is well are kept; those for a session are not."""
    assert [order(plan(holds))[0] for holds in (SECOND, "", SECOND, FIRST, "")] == [SECOND, FIRST, SECOND, FIRST, FIRST]


@pytest.mark.parametrize(("local", "twins"), [([FIRST, SECOND], True), ([FIRST, OTHER], False), ([FIRST], False)])
def test_sessions_are_told_apart_only_where_it_can_matter(local: list[str], *, twins: bool) -> None:
    """One engine for each model, as on most machines: no request is read for its session."""
    assert policy(local).twins is twins


def test_targets_that_share_a_place_by_weight_keep_the_sessions_that_they_drew() -> None:
    """Also where they are different models: the lot says which of them a session begins at, and not each turn's."""
    shared = policy([{"model": FIRST, "weight": 9}, {"model": OTHER, "weight": 1}])
    lots = [msgspec.structs.replace(house.request(), id=f"r{number}") for number in range(50)]

    def firsts(holds: str) -> set[str]:
        snapshot = Snapshot(now=0.0, states={}, holds_prefix=holds)
        return {decide(info, shared, snapshot).attempts[0].target.id for info in lots}

    assert shared.twins
    assert firsts("") == {FIRST, OTHER}
    assert (firsts(FIRST), firsts(OTHER)) == ({FIRST}, {OTHER})


def test_clouds_of_one_model_keep_their_order() -> None:
    """Which of them is better or cheaper somebody has said: one that stood in once is not asked for an hour."""
    clouds = [{"provider": name, "model": "gpt-5.4-mini"} for name in ("openai", "dear")]
    providers = house.DOCUMENT["providers"] | {"dear": {"type": "openai", "base_url": "https://dear.example/v1"}}
    models = {"coder": {"local": None, "cloud": clouds}}
    snapshot = Snapshot(now=0.0, states={}, holds_prefix="dear/gpt-5.4-mini")

    found = decide(house.request(), house.policy(providers=providers, models=models), snapshot)

    assert [attempt.target.provider for attempt in found.attempts] == ["openai", "dear"]


# -- What is remembered ------------------------------------------------------------------------------------------------


def test_the_latest_engine_of_a_session_is_remembered_for_an_hour() -> None:
    sessions = Sessions()
    sessions.answered(b"s", FIRST, 0.0)
    sessions.answered(b"s", SECOND, 100.0)

    assert [sessions.engine(b"s", now) for now in (100.0, 3700.0, 3701.0)] == [SECOND, SECOND, ""]
    assert sessions.engine(b"t", 100.0) == ""


def test_no_number_of_sessions_fills_the_memory() -> None:
    """The oldest goes; one that is still used does not."""
    sessions = Sessions(most=3)
    sessions.answered(b"used", FIRST, 0.0)
    for number in range(10_000):
        sessions.answered(b"%d" % number, SECOND, 1.0)
        sessions.answered(b"used", FIRST, 1.0)

    assert len(sessions) == 3
    assert (sessions.engine(b"used", 1.0), sessions.engine(b"5", 1.0)) == (FIRST, "")


def test_a_session_is_of_one_key_and_one_alias() -> None:
    """Nobody finds out by a name whether another key has a session, nor moves it."""
    facts = read(json.dumps(chat(prompt_cache_key="s")).encode())
    asked = [house.request(key=key, alias=alias) for key in ("anna", "ben") for alias in ("coder", "chat")]

    found = {digest(info, facts) for info in asked}
    assert len(found) == 4 and all(len(each) == 16 for each in found)


def test_a_header_names_a_session_before_the_body_and_the_body_before_its_beginning() -> None:
    named, plain = (read(json.dumps(chat(**fields)).encode()) for fields in ({"prompt_cache_key": "k"}, {}))
    info = house.request()
    headed = msgspec.structs.replace(info, session="k")

    assert digest(headed, plain) == digest(headed, read(json.dumps(chat(prompt_cache_key="other")).encode()))
    assert digest(headed, plain) == digest(info, named) != digest(info, plain)
    assert digest(info, read(b'{"model": "coder"}')) == b""


# -- What is sent ------------------------------------------------------------------------------------------------------


def two_machines(one: str, two: str) -> str:
    return f"""
version: 1
providers:
  one: {{type: openai, base_url: "{one}", locality: local, max_in_flight: 1}}
  two: {{type: openai, base_url: "{two}", locality: local, max_in_flight: 1}}
models:
  coder: {{local: [one/coder, two/coder]}}
rules:
  - {{name: all, use: [local]}}
"""


def of(session: str) -> dict[str, str]:
    return {"x-session-id": session}


@pytest.mark.parametrize("streams", [False, True])
def test_a_session_that_went_elsewhere_once_stays_there(tmp_path: Path, *, streams: bool) -> None:
    """Else it would go back to the first machine as soon as that is free, which would read all of it anew."""
    answer = stream("a", "b") if streams else whole()

    async def turns() -> list[str]:
        async with (
            Upstream(whole(after=0.5), answer) as one,
            Upstream(answer) as two,
            Station(tmp_path, two_machines(one.url, two.url)) as station,
        ):
            long = asyncio.create_task(station.ask(chat(), headers=of("long")))
            await one.turn()
            told = [await station.ask(chat(stream=streams), headers=of("mine"))]
            await long
            told += [await station.ask(chat(stream=streams), headers=of(name)) for name in ("new", "mine", "long")]
            asked = await station.ask({"model": "coder", "session": "mine"}, path="/gridtie/route")
            assert (asked.json["holds_prefix"], asked.json["attempts"][0]["target"]) == ("two/coder", "two/coder")
            return [answered.headers["x-gridtie-target"] for answered in told]

    assert run(turns) == ["two/coder", "one/coder", "two/coder", "one/coder"]


def test_a_prefix_goes_on_as_the_bytes_that_the_client_sent(tmp_path: Path) -> None:
    """A cache knows a prompt by its beginning: spaces, escapes and the order of keys are part of it."""
    messages = rb'[ {"role":"system","content":"\u00e9 \/ x"},  {"content": "hi", "role": "user", "extra": [1.0e0]} ]'
    tools = rb'[{"type":"function","function":{"name":"f","parameters":{"b":1,"a":{ }}}}]'
    body = b'{"messages":%b,"tools":%b,"model":"coder","temperature":0.50}' % (messages, tools)

    async def sent() -> bytes:
        async with Upstream(whole()) as one, Station(tmp_path, two_machines(one.url, one.url)) as station:
            assert (await station.ask(body, headers=of("s"))).status == 200
            return one.turns[0].body

    found = run(sent)
    assert b'"messages":%b,"tools":%b' % (messages, tools) in found
    assert b"session" not in found
