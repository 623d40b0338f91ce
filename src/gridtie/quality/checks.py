"""How answers are judged: by what code does, what a query returns, what data say; never by how they are worded.

What surrounds an answer (prose, fences) is no fault: people and programs that use it cut it away as well. What is asked
for must be there once, and whole.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from gridtie.agents import judge
from gridtie.agents.judge import Runner
from gridtie.agents.source import Unusable, extract
from gridtie.agents.task import Example
from gridtie.quality.task import Answer, Check

_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
# Steps of SQLite's machine, in thousands: a query over a handful of rows needs none of them.
_SQL_STEPS = 500
_SQL_ROWS = 1_000
# Of one value: a query can make a gigabyte out of nothing.
_SQL_BYTES = 100_000
# Each may stand for all that came before it: some dozens make a text that no memory holds.
_YAML_ALIASES = 20


def function(name: str, *examples: tuple[tuple[Any, ...], Any]) -> Check:
    """A Python function that returns what the examples say; it runs in the sandbox."""
    wanted = [Example(arguments, expected) for arguments, expected in examples]

    def check(answer: Answer, run: Runner) -> str:
        try:
            source = extract(answer.text, name)
        except Unusable as unusable:
            return str(unusable)
        judged = judge.judge(run, source, name, wanted)
        return "" if judged.all_passed else judged.failures[0]

    return check


# Runs a shell script over files, and prints what it says as JSON: the last line, after whatever else was printed.
_SHELL = """
import json, os, subprocess, sys, tempfile
job = json.load(sys.stdin)
directory = tempfile.mkdtemp()
os.chdir(directory)
for name, content in job["files"].items():
    with open(name, "w") as file:
        file.write(content)
try:
    command = ["sh", "-c", job["script"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, stdin=subprocess.DEVNULL)
    print(json.dumps({"out": done.stdout[:4000]}))
except subprocess.TimeoutExpired:
    print(json.dumps({"error": "no end after 5 s"}))
"""


def shell(files: Mapping[str, str], wanted: str) -> Check:
    """A command that prints what is wanted, over files in its directory; it runs in the sandbox."""

    def check(answer: Answer, run: Runner) -> str:
        script = block(answer.text).strip()
        if not script:
            return "there is no command in the answer"
        execution = run(_SHELL, json.dumps({"files": dict(files), "script": script}))
        lines = execution.stdout.strip().splitlines()
        try:
            told = json.loads(lines[-1]) if lines else {}
        except ValueError:
            told = {}
        if not isinstance(told, dict) or not isinstance(told.get("out"), str):
            error = told.get("error") if isinstance(told, dict) else None
            return str(error or f"the sandbox {execution.ending}")
        found = told["out"].split()
        return "" if found == wanted.split() else f"it printed {' '.join(found)[:80]!r}, wanted {wanted!r}"

    return check


def block(text: str) -> str:
    """The one fenced block of an answer, else all of it."""
    fenced = _FENCE.findall(text)
    return fenced[0] if fenced else text


def query(schema: str, rows: Sequence[tuple[Any, ...]], *, ordered: bool = False) -> Check:
    """One SELECT whose rows are these, on a database in memory that it can only read."""

    def check(answer: Answer, _: Runner) -> str:
        statement = block(answer.text).strip().rstrip(";")
        connection = sqlite3.connect(":memory:")
        try:
            connection.executescript(schema)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _SQL_BYTES)
            connection.set_authorizer(_reads_only)
            connection.set_progress_handler(_budget(), 1_000)
            found = [tuple(row) for row in connection.execute(statement).fetchmany(_SQL_ROWS)]
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            return f"the query fails: {error}"
        finally:
            connection.close()
        alike = found == list(rows) if ordered else sorted(found, key=repr) == sorted(rows, key=repr)
        return "" if alike else f"it returns {found[:3]!r}, wanted {list(rows)[:3]!r}"

    return check


_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def _reads_only(action: int, *_: Any) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _budget() -> Callable[[], int]:
    left = _SQL_STEPS

    def step() -> int:
        nonlocal left
        left -= 1
        return int(left < 0)

    return step


def json_value(wanted: Any) -> Check:
    """JSON that means just this; numbers may be written in any way, text may not."""

    def check(answer: Answer, _: Runner) -> str:
        found = _json_in(answer.text)
        if found is None:
            return "there is no JSON in the answer"
        return (
            ""
            if judge.same(found[0], wanted)
            else f"found {json.dumps(found[0])[:120]}, wanted {json.dumps(wanted)[:120]}"
        )

    return check


def _json_in(text: str) -> tuple[Any] | None:
    """The first whole JSON object or list of an answer."""
    decoder = json.JSONDecoder()
    source = block(text)
    for opening in re.finditer(r"[\[{]", source):
        try:
            return (decoder.raw_decode(source, opening.start())[0],)
        except (ValueError, RecursionError):
            continue
    return None


def yaml_value(holds: Callable[[Any], str]) -> Check:
    """YAML of which `holds` finds nothing wrong."""

    def check(answer: Answer, _: Runner) -> str:
        try:
            found = _yaml_in(block(answer.text) + "\n")
        # A date that no calendar has is a ValueError, and a tag that does not fit an AttributeError.
        except (yaml.YAMLError, ValueError, AttributeError) as error:
            return f"it is no YAML: {str(error).splitlines()[0]}"
        except RecursionError:
            return "it is no YAML that anybody would write"
        try:
            return holds(found)
        except (KeyError, TypeError, IndexError, AttributeError):
            return f"it has another form: {str(found)[:100]}"

    return check


def _yaml_in(text: str) -> Any:
    aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader))
    if aliases > _YAML_ALIASES:
        raise ValueError(f"it repeats itself by {aliases} aliases")
    return yaml.safe_load(text)


def equals(wanted: Any) -> Callable[[Any], str]:
    """For `yaml_value`: just this."""
    return lambda found: "" if judge.same(found, wanted) else f"found {str(found)[:100]}, wanted {str(wanted)[:100]}"


def ansible_task(module: str, arguments: Mapping[str, Any], **keywords: Any) -> Callable[[Any], str]:
    """For `yaml_value`: one task (alone, or in a list or a play) of this module with at least these arguments."""

    def holds(found: Any) -> str:
        tasks = _tasks(found)
        if len(tasks) != 1:
            return f"{len(tasks)} tasks found, wanted one"
        (task,) = tasks
        name = next((each for each in (f"ansible.builtin.{module}", module) if each in task), None)
        if name is None:
            return f"it uses {', '.join(sorted(set(task) - {'name'}))[:80]}, wanted {module}"
        given = task[name] or {}
        for key, value in arguments.items():
            if not _alike(given.get(key), value):
                return f"{module}.{key} is {given.get(key)!r}, wanted {value!r}"
        for key, value in keywords.items():
            if not _alike(task.get(key), value):
                return f"{key} is {task.get(key)!r}, wanted {value!r}"
        return ""

    return holds


def _tasks(found: Any) -> list[dict[str, Any]]:
    listed = found if isinstance(found, list) else [found]
    return [task for each in listed for task in each.get("tasks", [each])]


def _alike(found: Any, wanted: Any) -> bool:
    """As Ansible reads it: yes, true and "true" are one, as are 644 in quotes with and without its zero."""
    if isinstance(wanted, bool):
        return found is wanted or str(found).lower() in (("true", "yes") if wanted else ("false", "no"))
    if isinstance(wanted, str) and wanted.isdigit():
        return isinstance(found, str) and found.lstrip("0") == wanted.lstrip("0")
    return bool(found == wanted)


def calls(*wanted: tuple[str, Mapping[str, Any]]) -> Check:
    """Just these tools with just these arguments, in any order; none: the answer calls no tool and says something."""

    def check(answer: Answer, _: Runner) -> str:
        if not wanted:
            return "" if not answer.calls and answer.text.strip() else "it calls a tool where none helps"
        found = [(call.name, call.arguments) for call in answer.calls]
        if len(found) != len(wanted):
            return f"{len(found)} calls found, wanted {len(wanted)}"
        for name, arguments in wanted:
            if not any(name == other and judge.same(dict(given or {}), dict(arguments)) for other, given in found):
                return f"no call of {name} with {json.dumps(dict(arguments))}; found {str(found)[:120]}"
        return ""

    return check


def number(wanted: int) -> Check:
    """The answer's only number, wherever it stands."""

    def check(answer: Answer, _: Runner) -> str:
        found = {int(each) for each in re.findall(r"(?<![\w.-])\d{1,18}(?![\w.]*\w)", answer.text)}
        return "" if found == {wanted} else f"found {sorted(found)[:5]}, wanted {wanted} alone"

    return check


def says(word: str, *others: str) -> Check:
    """The word stands in the answer, and none of the others does."""

    def check(answer: Answer, _: Runner) -> str:
        if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer.text, re.IGNORECASE):
            return f"{word!r} is not in the answer"
        wrong = [each for each in others if re.search(rf"(?<!\w){re.escape(each)}(?!\w)", answer.text, re.IGNORECASE)]
        return f"{wrong[0]!r} is in the answer as well" if wrong else ""

    return check
