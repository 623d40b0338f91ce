"""One run: plan, code, test cases, review, docstring, and then the hidden tests, once, on the final file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from gridtie.agents import coder, documenter, planner, reviewer, tester
from gridtie.agents.client import Reply
from gridtie.agents.judge import Judgement, Runner, judge
from gridtie.agents.screen import Screen
from gridtie.agents.session import AgentFailed, Asks, Session
from gridtie.agents.task import Task

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """How a run ended. `hidden` is None when no file came far enough to be tested; `failure` then says why."""

    replies: tuple[Reply, ...]
    source: str | None = None
    hidden: Judgement | None = None
    coder_tries: int = 0
    tester_score: tester.Score | None = None
    review: reviewer.Review | None = None
    failure: str | None = None

    @property
    def passed(self) -> bool:
        return self.hidden is not None and self.hidden.all_passed


def build(task: Task, client: Asks, run: Runner, seed: int, screen: Screen, advisers: bool = True) -> Result:
    """Let the agents build `task`. What the client or the sandbox raises goes to the caller: then nothing was decided.

    An agent that gives nothing usable ends the run, except for the tester and the reviewer, who do not gate. Without
    `advisers` these two are not asked: that gives the same verdict in less time, for measuring.
    """
    session = Session(client, seed, screen.answer)
    tries: list[coder.Attempt] = []
    result = Result(())
    try:
        source = _write(task, session, run, screen, tries)
        if advisers:
            result = _advise(task, session, run, screen, source)
        screen.agent(documenter.NAME, "says what the function does; the sentence becomes its docstring")
        final = documenter.document(session, task, source)
        screen.result("added to the file; the code itself is unchanged, checked on its syntax tree", True)
    except AgentFailed as failed:
        screen.result(str(failed), False)
        return replace(result, replies=tuple(session.replies), coder_tries=len(tries), failure=str(failed))
    hidden = _accept(task, run, screen, final)
    return replace(result, replies=tuple(session.replies), coder_tries=len(tries), source=final, hidden=hidden)


def _write(task: Task, session: Session, run: Runner, screen: Screen, tries: list[coder.Attempt]) -> str:
    """Plan and code: what has to succeed before anything else makes sense."""
    screen.agent(planner.NAME, "steps and a case to watch for, held to a schema")
    plan = planner.plan(session, task)
    screen.result(f"{len(plan.steps)} steps; the answer holds to its schema", True)
    screen.agent(coder.NAME, f"writes the function; at most {coder.TRIES} tries against the public examples")

    def on_attempt(attempt: coder.Attempt) -> None:
        tries.append(attempt)
        if attempt.passed:
            screen.result(f"try {attempt.number + 1}: passes all {len(task.examples)} public examples", True)
        else:
            screen.result(f"try {attempt.number + 1}: {attempt.complaint}", False)

    return coder.code(session, task, plan, run, on_attempt)


def _advise(task: Task, session: Session, run: Runner, screen: Screen, source: str) -> Result:
    """Test cases and review: shown and scored, but not allowed to fail the run."""
    screen.agent(tester.NAME, "writes test cases from the task alone, without seeing the code")
    score = _try(screen, lambda: tester.score(run, task, tester.write_cases(session, task)))
    if score is not None:
        caught = "catches" if score.catches_mutant else "does not catch"
        screen.result(f"{score.right} of {score.total} cases are right; the set {caught} a planted bug (does not gate)")
    screen.agent(reviewer.NAME, "a verdict and a reason, held to a schema")
    review = _try(screen, lambda: reviewer.review(session, task, source))
    if review is not None:
        screen.result(f"verdict: {review.verdict} (advice; does not gate)")
    return Result((), tester_score=score, review=review)


def _try(screen: Screen, work: Callable[[], T]) -> T | None:
    try:
        return work()
    except AgentFailed as failed:
        screen.result(f"{failed} (does not gate)", False)
        return None


def _accept(task: Task, run: Runner, screen: Screen, final: str) -> Judgement:
    screen.agent("hidden tests", "that no agent has seen, run once, on the final file, in the sandbox")
    screen.source(final)
    hidden = judge(run, final, task.function, task.hidden)
    for failure in hidden.failures:
        screen.result(failure, False)
    screen.result(f"{hidden.passed} of {hidden.total} passed", hidden.all_passed)
    return hidden
