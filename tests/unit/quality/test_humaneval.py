"""Sets of others: read as they are, judged by their own tests, and told where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridtie.bench.errors import BenchError
from gridtie.quality.humaneval import load
from gridtie.quality.task import Answer
from standins.trusted import trusted_run

ROW = {
    "task_id": "HumanEval/900",
    "prompt": "from typing import List\n\n\n"
    'def double(xs: List[int]) -> List[int]:\n    """Each of them twice as large."""\n',
    "entry_point": "double",
    "canonical_solution": "    return [2 * x for x in xs]\n",
    "test": "def check(candidate):\n    assert candidate([]) == []\n    assert candidate([1, 2]) == [2, 4]\n",
}


def file_of(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "HumanEval.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def said(tmp_path: Path, answer: str) -> str:
    (task,) = load(file_of(tmp_path, ROW))
    return task.check(Answer(answer), trusted_run)


def test_a_task_is_named_by_its_file_and_asks_what_its_prompt_says(tmp_path: Path) -> None:
    (task,) = load(file_of(tmp_path, ROW))

    assert (task.name, task.category, task.executes) == ("HumanEval/HumanEval/900", "set HumanEval", True)
    assert "Each of them twice as large." in task.messages[0]["content"]


@pytest.mark.parametrize(
    "answer",
    [
        "```python\ndef double(xs: List[int]) -> List[int]:\n    return [2 * x for x in xs]\n```",
        "from typing import List\n\ndef double(xs: List[int]):\n    return [x + x for x in xs]\n",
    ],
)
def test_what_passes_its_tests_is_right(tmp_path: Path, answer: str) -> None:
    assert said(tmp_path, answer) == ""


@pytest.mark.parametrize(
    "answer",
    [
        "def double(xs):\n    return xs\n",
        "def double(xs):\n    raise SystemExit(0)\n",
        "def double(xs):\n    import os\n    os._exit(0)\n",
        "def triple(xs):\n    return xs\n",
        "",
    ],
)
def test_what_does_not_is_wrong(tmp_path: Path, answer: str) -> None:
    assert said(tmp_path, answer) != ""


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "is empty"),
        (["nonsense"], ":1: "),
        ([ROW, {"task_id": "x"}], ":2: "),
        ([{**ROW, "entry_point": "os.system"}], "is no name of a function"),
        ([{**ROW, "test": "def check(:"}], "its test is no Python"),
        ([ROW, ROW], "two tasks of one task_id"),
    ],
)
def test_a_file_that_is_wrong_is_told_with_its_line(tmp_path: Path, rows: list[Any], told: str) -> None:
    with pytest.raises(BenchError, match=told):
        load(file_of(tmp_path, *rows))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cannot be read"):
        load(tmp_path / "none.jsonl")
