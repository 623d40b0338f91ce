"""Whether a function does what examples say. The function runs in the sandbox, the comparison happens here."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from gridtie.agents.task import Example, show_call
from gridtie.host.sandbox import Execution

# Runs a Python program with a text on its standard input; the sandbox's `run`.
Runner = Callable[[str, str], Execution]

_INSIDE = "inside.py"


@dataclass(frozen=True)
class Outcome:
    """What one call gave: a plain value, or the reason why there is none."""

    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Judgement:
    """How many examples held, and one sentence about each that did not."""

    passed: int
    total: int
    failures: tuple[str, ...]

    @property
    def all_passed(self) -> bool:
        return self.total > 0 and self.passed == self.total


def judge(run: Runner, source: str, function: str, examples: Sequence[Example]) -> Judgement:
    """Call `function` of `source` with every example, in one fresh sandbox, and compare."""
    outcomes = outcomes_of(run, source, function, [example.arguments for example in examples])
    failures = tuple(
        complaint
        for example, outcome in zip(examples, outcomes, strict=True)
        if (complaint := _complaint(function, example, outcome)) is not None
    )
    # One cause, told once: a source that does not even load fails every example with the same words.
    return Judgement(len(examples) - len(failures), len(examples), tuple(dict.fromkeys(failures)))


def outcomes_of(run: Runner, source: str, function: str, calls: Sequence[tuple[Any, ...]]) -> list[Outcome]:
    """What each call gives, in order."""
    program = resources.files("gridtie.agents").joinpath(_INSIDE).read_text()
    job = json.dumps({"source": source, "function": function, "calls": [repr(call) for call in calls]})
    execution = run(program, job)
    reported = _reported(execution.stdout)
    if not any("loaded" in entry for entry in reported):
        broken = next((entry["error"] for entry in reported if "error" in entry), f"the sandbox {_how(execution)}")
        return [Outcome(error=str(broken))] * len(calls)
    results = {entry["call"]: _outcome(entry) for entry in reported if "call" in entry}
    missing = Outcome(error=f"no result: the sandbox {_how(execution)}")
    return [results.get(number, missing) for number in range(len(calls))]


def _reported(stdout: str) -> list[dict[str, Any]]:
    """The result lines; anything else on the stream is not ours and is ignored."""
    entries = []
    for line in stdout.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def _outcome(entry: dict[str, Any]) -> Outcome:
    if "error" in entry:
        return Outcome(error=str(entry["error"]))
    try:
        return Outcome(value=ast.literal_eval(str(entry.get("value"))))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return Outcome(error=f"the result {str(entry.get('value'))[:60]} is not a plain value")


def _how(execution: Execution) -> str:
    return {
        "finished": f"ended early with exit code {execution.exit_code}",
        "timed out": "ran out of time",
        "too much output": "printed too much",
        "killed": "was killed, most likely for using too much memory",
    }[execution.ending]


def _complaint(function: str, example: Example, outcome: Outcome) -> str | None:
    call = show_call(function, example.arguments)
    if outcome.error is not None:
        return f"{call} failed with {outcome.error}"
    if same(outcome.value, example.expected):
        return None
    return f"{call} returned {outcome.value!r}, but must return {example.expected!r}"


def same(found: Any, wanted: Any) -> bool:
    """Equality that tells True from 1 and "1", but not 2 from 2.0; deep in lists, tuples and dictionaries."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, (int, float)) and isinstance(wanted, (int, float)):
        return found == wanted
    if type(found) is not type(wanted):
        return False
    if isinstance(found, (list, tuple)):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(found, dict):
        return found.keys() == wanted.keys() and all(same(found[key], wanted[key]) for key in found)
    return bool(found == wanted)
