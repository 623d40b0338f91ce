#!/usr/bin/env python3
"""Write docs/closeout.md from docs/closeout.yaml and docs/results; with `--check` only say whether it is up to date.

A command, a test or a page that docs/closeout.yaml names and that is not there any more fails either way.
"""

from __future__ import annotations

import contextlib
import io
import re
import runpy
import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import yaml
from models_page import fill, settle, table
from results import RESULTS, ROOT, Record, read, told
from results import tests as recorded_tests

from gridtie.cli import controller_parser

DATA = ROOT / "docs" / "closeout.yaml"
PAGE = ROOT / "docs" / "closeout.md"
SHOWN, PARTLY, NOT_SHOWN = "shown", "in part", "not shown here"

Line = dict[str, Any]


def load() -> dict[str, Any]:
    """docs/closeout.yaml."""
    found: dict[str, Any] = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    return found


def gone(data: dict[str, Any]) -> Iterator[str]:
    """What the data names and is not there: commands, tests, pages."""
    measured = data["measurements"]
    commands = [each["command"] for each in measured.values()]
    for line in data["lines"]:
        for test in line.get("tests") or ():
            file, _, name = test.partition("::")
            if not (ROOT / file).is_file():
                yield f"{line['line']}: there is no {file}"
            elif name and not re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE):
                yield f"{line['line']}: {file} has no {name}"
        yield from (
            f"{line['line']}: there is no {page}" for page in line.get("pages") or () if not (ROOT / page).exists()
        )
        for each in line.get("measurements") or ():
            if each["name"] not in measured:
                yield f"{line['line']}: no measurement is called {each['name']}"
        commands += [each["command"] for each in line.get("open") or ()]
    for command in dict.fromkeys(commands):
        if why := _cannot(command):
            yield f"`{command}`: {why}"


def _demo_parser() -> ArgumentParser:
    found = runpy.run_path(str(ROOT / "demo_final.py"))
    parser: ArgumentParser = found["_parser"]()
    return parser


# Programs whose arguments are read as they would be.
_PARSERS: dict[str, Callable[[], ArgumentParser]] = {"gridtie": controller_parser, "demo_final.py": _demo_parser}


def _cannot(command: str) -> str:
    """Why a command as people type it cannot be; "" where it can."""
    program, *words = shlex.split(command)
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        return "" if re.search(rf"^{words[0]}:", makefile, re.MULTILINE) else f"there is no target {words[0]}"
    if program not in _PARSERS:
        return "" if (ROOT / program).is_file() else f"there is no {program}"
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            _PARSERS[program]().parse_args(words)
        except SystemExit:
            return said.getvalue().strip().splitlines()[-1]
    return ""


class Evidence(NamedTuple):
    """What shows a line: its command, its name for `make record`, what it came to, when and where, if it passed."""

    command: str
    record: str
    came_to: str = ""
    where: str = ""
    passed: bool = False


def evidence(line: Line, tests: dict[str, Record]) -> Iterator[Evidence]:
    """Everything that is asked of a line, recorded or not."""
    for test in line.get("tests") or ():
        file, _, name = test.partition("::")
        command = f"`{file}`" + (f": {name.removeprefix('test_').replace('_', ' ')}" if name else "")
        if record := tests.get(file):
            counts = record.result
            parts = [f"{counts[kind]} {kind}" for kind in ("passed", "failed", "skipped") if counts[kind]]
            passed = counts["passed"] > 0 and not counts["failed"]
            if passed and counts["skipped"] and name:
                # That a file passed says nothing of a test in it that was skipped.
                passed = name not in counts.get("not_passed", [name])
                parts += [] if passed else ["this one among them" if "not_passed" in counts else "perhaps this one"]
            yield Evidence(command, file, ", ".join(parts), record.where, passed)
        else:
            yield Evidence(command, file)
    for each in line.get("measurements") or ():
        command = f"`{load()['measurements'][each['name']]['command']}`"
        if record := read(each["name"]):
            yield Evidence(command, each["name"], *_came_to(each["says"], record))
        else:
            yield Evidence(command, each["name"])


def _came_to(says: str, record: Record) -> tuple[str, str, bool]:
    """What a command came to, when and where, and whether it shows anything: not without its figures."""
    try:
        found, passed = told(says, record), record.exit_status == 0
    except ValueError as error:
        found, passed = f"no figure: {error}", False
    ended = f"; exit status {record.exit_status}" if record.exit_status else ""
    return found + ended, record.where, passed


def state(line: Line, tests: dict[str, Record]) -> str:
    """Whether a line is shown: by all that is asked of it, by some of it, or by nothing that was recorded."""
    passed = [each.passed for each in evidence(line, tests)]
    if passed and all(passed) and not line.get("open"):
        return SHOWN
    return PARTLY if any(passed) else NOT_SHOWN


def lines(data: dict[str, Any], tests: dict[str, Record]) -> str:
    """The table: a row for each line of the mission."""
    rows = []
    for number, line in enumerate(data["lines"], 1):
        found = [each for each in evidence(line, tests) if each.where]
        pages = ", ".join(_link(page) for page in line.get("pages") or ())
        rows.append(
            [
                str(number),
                line["line"],
                state(line, tests),
                "<br>".join([*(each.command for each in found), *([pages] if pages else [])]) or "-",
                "<br>".join(each.came_to for each in found) or "-",
                "<br>".join(dict.fromkeys(each.where for each in found)) or "-",
            ]
        )
    return table(["", "line", "", "shown by", "came to", "when and where"], rows, {0})


def open_(data: dict[str, Any], tests: dict[str, Record]) -> str:
    """What is not shown here, why, and the command that would show it."""
    rows = []
    for number, line in enumerate(data["lines"], 1):
        why = [(each["why"].strip(), f"`{each['command']}`") for each in line.get("open") or ()]
        found = list(evidence(line, tests))
        why += [(f"{each.command} {each.came_to}", "") for each in found if each.where and not each.passed]
        if missing := list(dict.fromkeys(each.record for each in found if not each.where)):
            names = " ".join(missing)
            why.append(("no run is recorded", f'`make record NAMES="{names}"`'))
        rows += [[str(number), line["line"], *each] for each in why]
    return table(["", "line", "why", "what would show it"], rows, {0})


def sums(data: dict[str, Any], tests: dict[str, Record]) -> str:
    """How many lines are in which state."""
    states = [state(line, tests) for line in data["lines"]]
    shown, partly, not_shown = (states.count(each) for each in (SHOWN, PARTLY, NOT_SHOWN))
    return f"Of {len(states)} lines {shown} are shown, {partly} in part, {not_shown} not here."


def _link(page: str) -> str:
    relative = page.removeprefix("docs/") if page.startswith("docs/") else f"../{page}"
    return f"[{page}]({relative})"


def page(text: str) -> str:
    """The page with everything between its marks written anew."""
    data, tests = load(), recorded_tests(RESULTS)
    for name, make in (("sums", sums), ("lines", lines), ("open", open_)):
        text = fill(text, PAGE.name, name, make(data, tests))
    return text


def main() -> int:
    """Write the page, or say that it is not up to date, and name what is gone."""
    missing = list(gone(load()))
    for each in missing:
        sys.stderr.write(f"docs/closeout.yaml: {each}\n")
    return 1 if missing else settle(PAGE, page(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
