"""Every check, held to answers that are right and to answers that are not."""

from __future__ import annotations

from collections import Counter

import pytest

from gridtie.host.commands.quality_arguments import CATEGORIES
from gridtie.quality.task import Answer, Task
from gridtie.quality.tasks import TASKS
from standins.trusted import trusted_run

PAIRS = [
    pytest.param(task, answer, verdict, id=f"{task.name}-{word}-{number}")
    for task in TASKS.values()
    for word, verdict, answers in (("right", True, task.right), ("wrong", False, task.wrong))
    for number, answer in enumerate(answers)
]


@pytest.mark.parametrize(("task", "answer", "right"), PAIRS)
def test_a_check_takes_what_is_right_and_says_what_is_wrong(task: Task, answer: Answer, right: bool) -> None:
    """The answers are the project's own, so they need no sandbox."""
    said = task.check(answer, trusted_run)

    assert (said == "") == right, said


def test_there_are_enough_of_every_category() -> None:
    counted = Counter(task.category for task in TASKS.values())

    assert counted.total() >= 60
    assert set(counted) == set(CATEGORIES)
    assert min(counted.values()) >= 6


def test_no_request_holds_its_own_answer_in_full() -> None:
    for task in TASKS.values():
        asked = " ".join(str(message.get("content")) for message in task.messages)
        assert not [each.text for each in task.right if len(each.text) > 20 and each.text in asked], task.name


def test_long_requests_are_as_long_as_they_say() -> None:
    for task in TASKS.values():
        if task.context:
            size = len(str(task.messages[0]["content"])) / 4
            assert 0.6 * task.context < size < 1.6 * task.context
