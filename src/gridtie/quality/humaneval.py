"""Sets of others: files in the format of OpenAI's HumanEval, a JSON object a line.

`task_id`, `prompt` (a signature with its docstring), `entry_point` (the function's name) and `test`, which defines
`check(candidate)`; what else stands there is not needed.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import msgspec

from gridtie.agents.judge import Runner
from gridtie.agents.source import Unusable, extract
from gridtie.bench.errors import BenchError
from gridtie.quality.task import Answer, Check, Task, user

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Larger sets are split: all of a file is held.
_MOST_BYTES = 64 * 1024 * 1024


class _Row(msgspec.Struct):
    task_id: str
    prompt: str
    entry_point: str
    test: str


_decode = msgspec.json.Decoder(_Row).decode


def load(path: Path) -> list[Task]:
    """The tasks of a file; its name is their category. Raises `BenchError` with the line that is wrong."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}; wanted: a file in HumanEval's format") from None
    if len(raw) > _MOST_BYTES:
        raise BenchError(f"{path} has more than {_MOST_BYTES >> 20} MiB; split it")
    tasks = [_task(path, number, line) for number, line in enumerate(raw.splitlines(), 1) if line.strip()]
    if not tasks:
        raise BenchError(f"{path} is empty; wanted: a file in HumanEval's format")
    if len({task.name for task in tasks}) < len(tasks):
        raise BenchError(f"{path} has two tasks of one task_id")
    return tasks


def category(path: Path) -> str:
    """What the tasks of a file are called together."""
    return f"set {path.stem}"


def _task(path: Path, number: int, line: bytes) -> Task:
    wanted = "wanted: a JSON object with task_id, prompt, entry_point and test"
    try:
        row = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}:{number}: {error}; {wanted}") from None
    if not _NAME.fullmatch(row.entry_point):
        raise BenchError(f"{path}:{number}: entry_point {row.entry_point[:40]!r} is no name of a function; {wanted}")
    try:
        compile(row.test, f"{path}:{number}", "exec")
    except (SyntaxError, ValueError) as error:
        raise BenchError(f"{path}:{number}: its test is no Python: {error}") from None
    return Task(
        name=f"{path.stem}/{row.task_id}",
        category=category(path),
        messages=user(
            f"Complete this Python function. Answer with the whole function, and what it needs to run, in one code "
            f"block.\n\n```python\n{row.prompt.rstrip()}\n```"
        ),
        check=_passes(row),
        right=(),
        wrong=(),
        max_tokens=600,
        executes=True,
    )


def _passes(row: _Row) -> Check:
    def check(answer: Answer, run: Runner) -> str:
        try:
            source = extract(answer.text, row.entry_point)
        except Unusable as unusable:
            return str(unusable)
        # What the prompt imports and defines beside the function is there for an answer without it.
        before = row.prompt[: row.prompt.rfind(f"def {row.entry_point}")]
        # Known only once the tests have passed: an answer that ends the process early passes nothing.
        word = secrets.token_hex(8)
        program = f"{before}\n{source}\n{row.test}\n\ncheck({row.entry_point})\nprint({word!r})\n"
        execution = run(program, "")
        if word in execution.stdout:
            return ""
        return "its tests do not pass" if execution.ending == "finished" else f"the sandbox {execution.ending}"

    return check
