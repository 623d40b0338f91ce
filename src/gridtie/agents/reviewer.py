"""The reviewer: a verdict and a reason, held to a schema.

The review is advice and does not gate: the hidden tests decide, and an opinion must not be able to overrule them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gridtie.agents import worked_example
from gridtie.agents.schema import SENTENCE, choice, record, text
from gridtie.agents.session import Session
from gridtie.agents.task import Task

NAME = "reviewer"
SCHEMA = record(reason=text(SENTENCE), verdict=choice("approve", "request changes"))
_TOKENS = 200
_QUESTION = "The order was: {request}\n\n```python\n{source}```\n\nReview this code: one sentence, then your verdict."
_EXAMPLE = '{"reason": "It compares every number and returns the largest.", "verdict": "approve"}'


@dataclass(frozen=True)
class Review:
    """One sentence, and whether the reviewer approves."""

    reason: str
    verdict: str


def review(session: Session, task: Task, source: str) -> Review:
    """Ask for a review of `source`. Raises AgentFailed when no answer holds to the schema."""
    messages = [
        {"role": "user", "content": _QUESTION.format(request=worked_example.REQUEST, source=worked_example.CODE)},
        {"role": "assistant", "content": _EXAMPLE},
        {"role": "user", "content": _QUESTION.format(request=task.request, source=source)},
    ]
    answer = session.ask_object(NAME, messages, SCHEMA, _TOKENS)
    return Review(answer["reason"], answer["verdict"])
