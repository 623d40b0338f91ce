"""One task: what is asked, how an answer is judged, and answers by which the judging itself is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gridtie.agents.judge import Runner

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """A tool that an answer calls; `arguments` None: they are no JSON object."""

    name: str
    arguments: Mapping[str, Any] | None


@dataclass(frozen=True)
class Answer:
    """What a model said, and the tools that it calls."""

    text: str = ""
    calls: tuple[Call, ...] = ()


# Says why an answer is wrong, "" where it is right. The runner executes what a model wrote, in a sandbox.
Check = Callable[[Answer, Runner], str]


@dataclass(frozen=True)
class Task:
    """`right` and `wrong` are answers that the check must accept and refuse; a test holds it to them.

    `context` is what the request takes in tokens, about; 0: no more than any model has.
    """

    name: str
    category: str
    messages: tuple[Message, ...]
    check: Check
    right: tuple[Answer, ...]
    wrong: tuple[Answer, ...]
    max_tokens: int = 400
    tools: tuple[Mapping[str, Any], ...] = ()
    context: int = 0
    # Whether the check executes what the model wrote.
    executes: bool = False


def user(text: str) -> tuple[Message, ...]:
    """A request of one message."""
    return ({"role": "user", "content": text},)


def texts(*answers: str) -> tuple[Answer, ...]:
    """Answers without calls."""
    return tuple(Answer(each) for each in answers)
