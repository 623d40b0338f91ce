"""The planner: turns an order into a few steps and a case to watch for, held to a schema."""

from __future__ import annotations

from dataclasses import dataclass

from gridtie.agents import worked_example
from gridtie.agents.schema import SENTENCE, array, record, text
from gridtie.agents.session import Session
from gridtie.agents.task import Task

NAME = "planner"
SCHEMA = record(steps=array(text(SENTENCE), 2, 4), watch_for=text(SENTENCE))
_TOKENS = 400
_QUESTION = (
    "{request}\n\nDo not write code yet. Plan it: two to four steps in short sentences, and one case to watch for."
)
_EXAMPLE = (
    '{"steps": ["Start with the first number.", "Compare each number with the largest so far.", '
    '"Return the largest number."], "watch_for": "The list may hold only one number."}'
)


@dataclass(frozen=True)
class Plan:
    """Steps in order, each a short sentence, and one case that is easily overlooked."""

    steps: tuple[str, ...]
    watch_for: str


def plan(session: Session, task: Task) -> Plan:
    """Ask for a plan. Raises AgentFailed when no answer holds to the schema."""
    messages = [
        {"role": "user", "content": _QUESTION.format(request=worked_example.REQUEST)},
        {"role": "assistant", "content": _EXAMPLE},
        {"role": "user", "content": _QUESTION.format(request=task.request)},
    ]
    answer = session.ask_object(NAME, messages, SCHEMA, _TOKENS)
    return Plan(tuple(answer["steps"]), answer["watch_for"])
