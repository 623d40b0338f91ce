"""A run from plan to verdict, with agents that answer from a script."""

from __future__ import annotations

import io
from typing import Any

import pytest

from gridtie.agents.judge import Runner
from gridtie.agents.pipeline import Result, build
from gridtie.agents.screen import Screen
from gridtie.agents.tasks import REVERSE_STRING as TASK

PLAN = (
    '{"steps": ["Start with the last character.", "Walk to the first one."], "watch_for": "The string may be empty."}'
)
RIGHT = "```python\ndef reverse_string(s):\n    return s[::-1]\n```"
WRONG = "```python\ndef reverse_string(s):\n    return s\n```"
# Passes the public examples and fails the hidden tests.
SLY = "```python\ndef reverse_string(s):\n    return s[::-1].lower().strip()\n```"
CASES = '{"cases": [{"s": "ab", "wanted": "ba"}, {"s": "", "wanted": ""}, {"s": "x", "wanted": "y"}]}'
REVIEW = '{"reason": "It returns the reversed string.", "verdict": "approve"}'
DOCSTRING = "Return the string reversed."
ADVICE = (CASES, REVIEW)


class Bench:
    """Runs a script of answers through the pipeline."""

    def __init__(self, scripted: type[Any], run: Runner) -> None:
        self._scripted = scripted
        self._run = run
        self.shown = io.StringIO()

    def __call__(self, *answers: str) -> Result:
        self.client = self._scripted(*answers)
        return build(TASK, self.client, self._run, 7, Screen(self.shown, {}))


@pytest.fixture
def bench(scripted: type[Any], trusted_runner: Runner) -> Bench:
    return Bench(scripted, trusted_runner)


def test_a_right_solution_passes_with_its_docstring(bench: Bench) -> None:
    """Five answers, one file, all hidden tests."""
    result = bench(PLAN, RIGHT, *ADVICE, DOCSTRING)

    assert result.passed
    assert result.source == 'def reverse_string(s):\n    """Return the string reversed."""\n    return s[::-1]\n'


def test_a_failed_public_example_is_fed_back_with_another_seed_and_temperature(bench: Bench) -> None:
    """The second try knows what was wrong with the first."""
    result = bench(PLAN, WRONG, RIGHT, *ADVICE, DOCSTRING)
    first, second = (asked for asked in bench.client.asked if asked.agent == "coder")

    assert result.passed
    assert "reverse_string('abc') returned 'abc', but must return 'cba'" in second.messages[-1]["content"]
    assert (first.seed, first.temperature) != (second.seed, second.temperature)


def test_the_coder_gives_up_after_a_bounded_number_of_tries(bench: Bench) -> None:
    """Nothing goes on for ever, and nothing is tested that never worked."""
    result = bench(PLAN, *[WRONG] * 6)

    assert not result.passed
    assert result.hidden is None
    assert "none of 6 tries" in str(result.failure)


def test_hidden_tests_decide_although_everybody_approved(bench: Bench) -> None:
    """Public examples, tester and reviewer cannot save a wrong solution."""
    result = bench(PLAN, SLY, *ADVICE, DOCSTRING)

    assert not result.passed
    assert result.hidden is not None
    assert result.hidden.passed < result.hidden.total


def test_no_agent_is_shown_a_hidden_case(bench: Bench) -> None:
    """Not even the reviewer and the documenter, who come last, and not after failures."""
    bench(PLAN, WRONG, WRONG, RIGHT, *ADVICE, DOCSTRING)
    said = "\n".join(message["content"] for asked in bench.client.asked for message in asked.messages)

    assert "reverse_string(s)" in said
    assert not [case for case in TASK.hidden if repr(case.arguments[0]) in said]


def test_tester_and_reviewer_do_not_gate(bench: Bench) -> None:
    """Useless advisers, three tries each, leave a right solution right."""
    result = bench(PLAN, RIGHT, *["{}"] * 6, DOCSTRING)

    assert result.passed
    assert result.tester_score is None
    assert result.review is None


def test_the_testers_cases_are_scored_against_reference_and_mutant(bench: Bench) -> None:
    """Two of the three cases are right, and reversing "ab" exposes the mutant that does nothing."""
    score = bench(PLAN, RIGHT, *ADVICE, DOCSTRING).tester_score

    assert score is not None
    assert (score.right, score.total, score.catches_mutant) == (2, 3, True)


def test_a_documenter_that_writes_code_changes_nothing(bench: Bench) -> None:
    """Only the sentence is taken from an answer that also rewrites the function."""
    rewritten = '```python\ndef reverse_string(s):\n    """Return the string reversed."""\n    return "broken"\n```'
    result = bench(PLAN, RIGHT, *ADVICE, rewritten)

    assert result.passed
    assert "broken" not in str(result.source)


def test_an_agent_that_never_answers_usably_fails_the_run_with_its_name(bench: Bench) -> None:
    """The reason names who failed and why."""
    assert "the planner did not hold to its schema" in str(bench("no", "no", "no").failure)
    assert "the documenter wrote no docstring" in str(bench(PLAN, RIGHT, *ADVICE, *["1"] * 4).failure)


def test_every_request_is_kept_for_the_account(bench: Bench) -> None:
    """The closing table sees failed tries as well: they cost tokens."""
    result = bench(PLAN, WRONG, RIGHT, *ADVICE, DOCSTRING)

    assert [reply.agent for reply in result.replies] == [
        "planner",
        "coder",
        "coder",
        "tester",
        "reviewer",
        "documenter",
    ]
