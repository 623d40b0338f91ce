#!/usr/bin/env python3
"""Run what docs/closeout.yaml measures, and write what came of it into docs/results.

scripts/record.py bench-probe doctor       run these commands, on the station that GRIDTIE_CONFIG_DIR names
scripts/record.py tests/unit/config        run these tests; the last run of each file is kept in docs/results/tests.json

Both can be named at once. Files of tests are run whole: what came of a part of one would stand for all of it. A file of
results is replaced when the command has come to its end, whatever that was: a failure is a result as well.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml
from results import RESULTS, ROOT, SCHEMA, TESTS

from gridtie.bench.machine import this_machine
from gridtie.host.new_file import put
from gridtie.host.version import __version__

# In a command: where it is to write its JSON. Without it, what it prints is the JSON.
FILE = "FILE"
_KINDS = {"passed": 0, "failed": 0, "skipped": 0}
# Pytest's exit status where all tests were run: all passed, or some failed.
_TO_THE_END = (0, 1)


def run(name: str, command: str) -> int:
    """Run a command and keep its result; its exit status."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "result.json"
        words = [str(file) if word == FILE else word for word in shlex.split(command)]
        if (ROOT / words[0]).is_file():
            words = [sys.executable, str(ROOT / words[0]), *words[1:]]
        environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        made_by, began = version(), time.monotonic()
        capture = subprocess.PIPE if FILE not in shlex.split(command) else None
        done = subprocess.run(words, cwd=scratch, env=environ, stdout=capture, text=True, check=False)
        seconds = time.monotonic() - began
        raw = done.stdout if capture else file.read_text(encoding="utf-8") if file.exists() else ""
    try:
        found = json.loads(raw or "null")
    except ValueError:
        sys.stderr.write(f"{name}: `{command}` gave no JSON; nothing was written\n")
        return 2
    if found is None:
        sys.stderr.write(f"{name}: `{command}` ended with {done.returncode} and no result; nothing was written\n")
        return 2
    keep(name, command, done.returncode, seconds, made_by, found)
    return done.returncode


def keep(name: str, command: str, status: int, seconds: float, made_by: str, found: Any) -> None:
    """Take what a command came to into docs/results; `made_by` is the version that was asked, as `version` said."""
    made = about(command, status, seconds, made_by)
    put_json(RESULTS / f"{name}.json", {"schema": SCHEMA, "name": name, **made, "result": found})


def run_tests(words: list[str]) -> int:
    """Run pytest, and keep what each file came to, if it came to its end."""
    made_by = version()
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={file}", *words]
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        if status in _TO_THE_END:
            keep_tests(file, made_by)
    return status


def keep_tests(junit: Path, made_by: str) -> None:
    """Take the files of a JUnit report into docs/results/tests.json; others stay as they were.

    `made_by` is the version that was tested, as `version` said before.
    """
    if not junit.exists():
        return
    path = RESULTS / f"{TESTS}.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["files"] if path.exists() else {}
    for name, (counts, seconds) in counted(junit).items():
        failed = int(counts["failed"] > 0)
        kept[name] = {**about(f"scripts/record.py {name}", failed, seconds, made_by), "result": counts}
    put_json(path, {"schema": SCHEMA, "files": dict(sorted(kept.items()))})


def counted(junit: Path) -> dict[str, tuple[dict[str, Any], float]]:
    """For each file of a JUnit report, how many tests passed, failed and were skipped, and their seconds.

    `not_passed` names the functions of those that did not, where there are any.
    """
    counts: dict[str, dict[str, Any]] = defaultdict(lambda: dict(_KINDS))
    seconds: dict[str, float] = defaultdict(float)
    for case in ET.parse(junit).iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py"
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        counts[name][kind] += 1
        if kind != "passed":
            others = counts[name].setdefault("not_passed", [])
            others += [test for test in (case.get("name", "").partition("[")[0],) if test not in others]
        seconds[name] += float(case.get("time", 0))
    return {name: (each, seconds[name]) for name, each in counts.items()}


def version() -> str:
    """The checkout's commit; `-dirty` where files differ from it."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def about(command: str, status: int, seconds: float, made_by: str) -> dict[str, Any]:
    """What every record says of its making."""
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": msgspec.to_builtins(this_machine()),
        "gridtie": __version__,
        "commit": made_by,
        "exit_status": status,
        "seconds": round(seconds, 1),
    }


def put_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file in one step."""
    path.parent.mkdir(exist_ok=True)
    put(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def main() -> int:
    """Exit status 2 where something could not be run at all."""
    known = yaml.safe_load((ROOT / "docs" / "closeout.yaml").read_text(encoding="utf-8"))["measurements"]
    asked = sys.argv[1:]
    commands = [name for name in asked if name in known]
    tests = [word for word in asked if word not in known]
    files = [word for word in tests if (ROOT / word).exists()]
    if not asked or (tests and not files) or any(_narrows(word) for word in tests):
        sys.stderr.write(f"{__doc__}\nKnown: {', '.join(known)}\n")
        return 2
    statuses = [run(name, known[name]["command"]) for name in commands]
    return max([*statuses, *([run_tests(tests)] if tests else [])])


def _narrows(word: str) -> bool:
    """Whether it chooses tests of a file."""
    return "::" in word or word.startswith(("-k", "-m", "--deselect", "--lf", "--last-failed"))


if __name__ == "__main__":
    sys.exit(main())
