"""A candidate's calls are run away from here and judged here."""

from __future__ import annotations

from typing import Any

import pytest

from gridtie.agents.judge import Runner, judge, outcomes_of, same
from gridtie.agents.task import Example
from gridtie.host.sandbox import Execution

EXAMPLES = (Example((1,), 2), Example((-1,), 0))


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("def f(n):\n    return n\n", "f(1) returned 1, but must return 2"),
        ("def f(n):\n    return str(n + 1)\n", "f(1) returned '2', but must return 2"),
        ("def f(n):\n    return n / 0\n", "f(1) failed with ZeroDivisionError: division by zero"),
        ("def f():\n    return 2\n", "f(1) failed with TypeError: f() takes 0 positional arguments but 1 was given"),
        ("def f(n):\n    raise SystemExit(0)\n", "f(1) failed with SystemExit: 0"),
        ("def g(n):\n    return 2\n", "f(1) failed with KeyError: 'f'"),
        ("1 / 0\n", "f(1) failed with ZeroDivisionError: division by zero"),
        ("def f(n):\n    return f\n", "f(1) failed with the result <function f at"),
        ("def f(n):\n    while True: pass\n", "f(1) failed with no result after 2 s"),
        ("def f(n):\n    return 'x' * 10000\n", "f(1) failed with the result is too long"),
        (
            "import os\ndef f(n):\n    os._exit(3)\n",
            "f(1) failed with no result: the sandbox ended early with exit code 3",
        ),
    ],
)
def test_a_wrong_candidate_is_told_what_is_wrong(source: str, complaint: str, trusted_runner: Runner) -> None:
    """Wrong values, exceptions, exits, endless loops and odd results each have their own sentence."""
    judgement = judge(trusted_runner, source, "f", EXAMPLES)

    assert judgement.passed == 0
    assert judgement.failures[0].startswith(complaint)


def test_a_right_candidate_passes_although_it_prints(trusted_runner: Runner) -> None:
    """What a candidate prints does not mix with the results."""
    source = 'print(\'{"call": 0, "value": "99"}\')\ndef f(n):\n    print(\'hello\')\n    return n + 1\n'

    assert judge(trusted_runner, source, "f", EXAMPLES).all_passed


def test_the_expected_results_do_not_enter_the_sandbox() -> None:
    """A candidate cannot read the answers, because they are not there."""
    seen: list[str] = []

    def spy(program: str, stdin: str) -> Execution:
        seen.extend((program, stdin))
        return Execution("", "timed out", None)

    judge(spy, "def f(n): return n\n", "f", (Example(("question",), "the-right-answer"),))

    assert "question" in seen[1]
    assert not [text for text in seen if "the-right-answer" in text]


@pytest.mark.parametrize(
    ("execution", "words"),
    [
        (Execution("", "timed out", None), "ran out of time"),
        (Execution("", "killed", None), "too much memory"),
        (Execution("", "too much output", None), "printed too much"),
        (Execution('{"loaded": true}\n{"call": 0, "value": "2"}\n{"ca', "timed out", None), "ran out of time"),
        (Execution('[1]\nnonsense\n{"error": "SyntaxError: x"}', "finished", 0), "SyntaxError"),
    ],
)
def test_every_way_to_end_is_reported_for_the_calls_without_a_result(execution: Execution, words: str) -> None:
    """However the sandbox ended, the last call has an error that says so."""
    outcomes = outcomes_of(lambda _program, _stdin: execution, "", "f", [(1,), (2,)])

    assert words in str(outcomes[-1].error)


@pytest.mark.parametrize(
    ("found", "wanted", "equal"),
    [
        (2, 2.0, True),
        (True, 1, False),
        (1, True, False),
        ("1", 1, False),
        ([1, [2]], [1, [2]], True),
        ([1, [True]], [1, [1]], False),
        ((1, 2), [1, 2], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"b": 1}, False),
        (None, None, True),
        (None, 0, False),
    ],
)
def test_equality_tells_types_apart_that_matter(found: Any, wanted: Any, equal: bool) -> None:
    """True is not 1 and a tuple is not a list, but 2 is 2.0."""
    assert same(found, wanted) is equal
