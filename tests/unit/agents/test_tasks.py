"""The tasks are fair and their hidden tests discriminate."""

from __future__ import annotations

import pytest

from gridtie.agents.judge import Runner, judge
from gridtie.agents.schema import check
from gridtie.agents.task import Task
from gridtie.agents.tasks import DEFAULT, TASKS

ALL = list(TASKS.values())
MUTANTS = [(task, number) for task in ALL for number in range(len(task.mutants))]


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)
def test_the_reference_passes_public_and_hidden_examples(task: Task, trusted_runner: Runner) -> None:
    """A task that its own reference fails could not be solved by anybody."""
    assert judge(trusted_runner, task.reference, task.function, task.examples + task.hidden).failures == ()


@pytest.mark.parametrize(("task", "number"), MUTANTS, ids=lambda part: getattr(part, "name", part))
def test_the_hidden_tests_fail_every_mutant(task: Task, number: int, trusted_runner: Runner) -> None:
    """A plausible wrong solution does not get through the acceptance tests."""
    assert not judge(trusted_runner, task.mutants[number], task.function, task.hidden).all_passed


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)
def test_hidden_cases_are_not_among_the_public_examples(task: Task) -> None:
    """What the coder is shown does not come again as a hidden test."""
    public = [example.arguments for example in task.examples]

    assert not [case for case in task.hidden if case.arguments in public]
    assert len(task.hidden) > len(task.examples)


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)
def test_the_testers_schema_can_express_the_public_results(task: Task) -> None:
    """A tester that is right can say so: public results (other than None) hold to the schema of results."""
    for example in task.examples:
        if example.expected is not None:
            check(example.expected, task.returns)


def test_no_request_contains_code_of_the_reference() -> None:
    """The order describes; it does not hand out the solution."""
    for task in ALL:
        body = [line.strip() for line in task.reference.splitlines() if line.startswith("    ")]
        assert not [line for line in body if line in task.request]


def test_the_default_task_is_for_the_tiniest_models() -> None:
    """The first thing that a newcomer runs must work with the model that is always there."""
    assert DEFAULT.level == "tiny"
