"""The coder: writes the function, is shown which public examples failed, and tries again, a bounded number of times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gridtie.agents.client import Message
from gridtie.agents.judge import Judgement, Runner, judge
from gridtie.agents.planner import Plan
from gridtie.agents.session import AgentFailed, Session
from gridtie.agents.source import Unusable, extract
from gridtie.agents.task import Task

NAME = "coder"
TRIES = 6
# A failing example or two show what is wrong; more of them only fill a small context.
_FAILURES_SHOWN = 2


@dataclass(frozen=True)
class Attempt:
    """One try: the source that was taken out of the answer (None where there was none) and what was wrong with it."""

    number: int
    source: str | None
    complaint: str

    @property
    def passed(self) -> bool:
        return self.source is not None and not self.complaint


def code(
    session: Session, task: Task, plan: Plan, run: Runner, on_attempt: Callable[[Attempt], None] = lambda _attempt: None
) -> str:
    """A source that passes all public examples. Raises AgentFailed when no try does."""
    last: Attempt | None = None
    for number in range(TRIES):
        answer = session.ask(NAME, messages(task, plan, last), attempt=number, max_tokens=task.code_tokens)
        last = _examine(number, answer, task, run)
        on_attempt(last)
        if last.passed and last.source is not None:
            return last.source
    complaint = last.complaint if last else ""
    raise AgentFailed(f"none of {TRIES} tries passed the public examples; the last one: {complaint}")


def messages(task: Task, plan: Plan, failed: Attempt | None) -> list[Message]:
    """The order with the plan; after a failure the order with what was wrong.

    The failed code and the plan are left out then: the plan may be what misled, and a small model copies what it sees.
    """
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(plan.steps, 1))
    briefing = f"You are a careful Python programmer. The plan:\n{steps}\nWatch for: {plan.watch_for}"
    order = f"{task.request} Reply with only the code."
    if failed is None:
        return [{"role": "system", "content": briefing}, {"role": "user", "content": order}]
    return [{"role": "user", "content": f"{order}\n\nAn earlier try was wrong: {failed.complaint}"}]


def _examine(number: int, answer: str, task: Task, run: Runner) -> Attempt:
    try:
        source = extract(answer, task.function)
    except Unusable as unusable:
        return Attempt(number, None, f"{unusable}.")
    return Attempt(number, source, complaint(judge(run, source, task.function, task.examples)))


def complaint(judgement: Judgement) -> str:
    """What the coder is told: the first failing examples, or nothing when all passed."""
    return " ".join(f"{failure}." for failure in judgement.failures[:_FAILURES_SHOWN])
