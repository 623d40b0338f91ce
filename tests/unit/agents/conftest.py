"""What the tests of the agents share: a client that answers from a script, and a runner for our own trusted sources."""

from __future__ import annotations

import pytest

from gridtie.agents.client import OnText, Question, Reply
from gridtie.agents.judge import Runner
from standins.trusted import trusted_run


class ScriptedClient:
    """Gives prepared answers in order, and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked: list[Question] = []

    def ask(self, question: Question, on_text: OnText) -> Reply:
        self.asked.append(question)
        text = self._answers.pop(0)
        on_text(text)
        return Reply(question.agent, text, "stop", 10, 5, 0.1, 0.2, None, "m", None, None)


@pytest.fixture
def scripted() -> type[ScriptedClient]:
    return ScriptedClient


@pytest.fixture
def trusted_runner() -> Runner:
    """Runs the sandbox's program in an ordinary process."""
    return trusted_run
