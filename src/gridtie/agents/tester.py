"""The tester: writes test cases from the order alone, which are scored against the reference and against a mutant.

The cases do not gate anything: a tester that is wrong about the feature must not be able to fail a right solution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gridtie.agents import worked_example
from gridtie.agents.judge import Runner, outcomes_of, same
from gridtie.agents.schema import Schema, array, integer, record
from gridtie.agents.session import Session
from gridtie.agents.task import Example, Task

NAME = "tester"
_TOKENS = 500
_CASES = (3, 4)
_QUESTION = "{request}\n\nDo not write code. Write three or four test cases for it: arguments and the expected result."
_EXAMPLE = (
    '{"cases": [{"numbers": [3, 9, 2], "wanted": 9}, {"numbers": [-4, -7], "wanted": -4}, '
    '{"numbers": [5], "wanted": 5}]}'
)
EXAMPLE_SCHEMA = record(
    cases=array(record(numbers=array(integer(-1000, 1000), 1, 6), wanted=integer(-1000, 1000)), *_CASES)
)


@dataclass(frozen=True)
class Score:
    """How good test cases are: how many agree with the reference, and whether one of those catches the mutant."""

    right: int
    total: int
    catches_mutant: bool


def schema_for(task: Task) -> Schema:
    """The schema of test cases for this task's parameters and result."""
    return record(cases=array(record(**task.parameters, wanted=task.returns), *_CASES))


def write_cases(session: Session, task: Task) -> list[Example]:
    """Ask for test cases. Raises AgentFailed when no answer holds to the schema."""
    messages = [
        {"role": "user", "content": _QUESTION.format(request=worked_example.REQUEST)},
        {"role": "assistant", "content": _EXAMPLE},
        {"role": "user", "content": _QUESTION.format(request=task.request)},
    ]
    answer = session.ask_object(NAME, messages, schema_for(task), _TOKENS)
    return [Example(tuple(case[name] for name in task.parameters), case["wanted"]) for case in answer["cases"]]


def score(run: Runner, task: Task, cases: Sequence[Example]) -> Score:
    """Run the cases against the reference and the first mutant."""
    calls = [case.arguments for case in cases]
    truth = outcomes_of(run, task.reference, task.function, calls)
    mutant = outcomes_of(run, task.mutants[0], task.function, calls)
    right = [
        outcome.error is None and same(outcome.value, case.expected) for case, outcome in zip(cases, truth, strict=True)
    ]
    caught = any(
        agrees and (outcome.error is not None or not same(outcome.value, case.expected))
        for agrees, case, outcome in zip(right, cases, mutant, strict=True)
    )
    return Score(sum(right), len(cases), caught)
