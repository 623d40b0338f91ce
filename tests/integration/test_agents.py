"""Each agent does its own work with a real model, through a real router, on both engines.

The seeds are fixed and the model is the small one that every station has; what is asserted is what it gets right in
nearly every seed (docs/demo.md), so that a failure means that something broke.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gridtie.agents import coder, documenter, planner, reviewer, tester
from gridtie.agents.client import Client, Question
from gridtie.agents.endpoint import Endpoint
from gridtie.agents.judge import judge
from gridtie.agents.schema import check
from gridtie.agents.session import Session
from gridtie.agents.source import behaviour
from gridtie.agents.tasks import IS_EVEN, REVERSE_STRING
from gridtie.host import sandbox
from gridtie.host.sandbox import Sandbox
from integration.station import Station

PLAN = planner.Plan(("Take the characters from last to first.", "Join them to a string."), "The string may be empty.")


@pytest.fixture(scope="module", params=["station", "embedded_station"])
def place(request: pytest.FixtureRequest) -> Station:
    """Both stations in turn."""
    found: Station = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def session(place: Station) -> Iterator[Session]:
    """A conversation with the small model."""
    with Client(Endpoint(f"{place.endpoint}/v1", place.key), "smoke-test", "test") as client:
        yield Session(client, seed=3)


@pytest.fixture(scope="module")
def box(place: Station) -> Sandbox:
    """The station's own sandbox."""
    return sandbox.find(place.config)


def test_the_planner_writes_a_plan_that_holds_to_its_schema(session: Session) -> None:
    """Steps and a case to watch for, at the first try: the engine honours the schema."""
    plan = planner.plan(session, REVERSE_STRING)

    check({"steps": list(plan.steps), "watch_for": plan.watch_for}, planner.SCHEMA)
    assert len(session.replies) == 1


def test_the_coder_solves_a_tiny_task(session: Session, box: Sandbox) -> None:
    """What comes back passes the public examples, in at most six tries."""
    source = coder.code(session, REVERSE_STRING, PLAN, box.run)

    assert judge(box.run, source, REVERSE_STRING.function, REVERSE_STRING.examples).all_passed


def test_the_tester_writes_cases_of_the_right_types(session: Session, box: Sandbox) -> None:
    """Three or four cases that can be scored."""
    cases = tester.write_cases(session, IS_EVEN)
    score = tester.score(box.run, IS_EVEN, cases)

    assert all(isinstance(case.arguments[0], int) and isinstance(case.expected, bool) for case in cases)
    assert score.total == len(cases)


def test_the_reviewer_gives_a_reason_and_a_verdict(session: Session) -> None:
    """Held to its schema, at the first try."""
    review = reviewer.review(session, REVERSE_STRING, REVERSE_STRING.reference)

    check({"reason": review.reason, "verdict": review.verdict}, reviewer.SCHEMA)
    assert len(session.replies) == 1


def test_the_documenter_adds_a_docstring_and_nothing_else(session: Session) -> None:
    """The code is the same; only a sentence was added."""
    documented = documenter.document(session, REVERSE_STRING, REVERSE_STRING.reference)

    assert '"""' in documented
    assert behaviour(documented) == behaviour(REVERSE_STRING.reference)


def test_the_same_seed_gives_the_same_answer_and_another_one_does_not(place: Station) -> None:
    """Seeds reach the engine: without that, a second try would be the first again."""
    messages = [{"role": "user", "content": "Tell me a very short story about a fox."}]
    with Client(Endpoint(f"{place.endpoint}/v1", place.key), "smoke-test", "test") as client:
        texts = [client.ask(Question("planner", messages, 0.9, seed, 24)).text for seed in (11, 11, 11, 12)]

    # The first answer may come from a cold prompt cache, which rounds differently; the next two may not differ.
    assert texts[1] == texts[2]
    assert texts[3] != texts[2]
