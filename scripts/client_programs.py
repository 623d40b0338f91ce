#!/usr/bin/env python3
"""Make the environments of the clients that tests ask the router through: client_programs.py sdks|some-agents|agents

Each is below .cache/clients, at the versions of requirements/clients-*.lock and tests/clients/*/package-lock.json,
whose hashes are checked; a stamp is written last, so that a killed run is done again. Node comes as a package of
Python's: the clients ask for 22 or later, which no distribution has yet that the project is tested on.

sdks         LangChain, llm, Node, and the SDKs for Node
some-agents  Continue, besides
agents       all that can be had: aider, Claude Code, Codex, opencode, Cline, Continue
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / ".cache" / "clients"
LISTS = ROOT / "tests" / "clients"


def python(name: str) -> None:
    """A virtual environment with what the lock of that name says."""
    environment(PLACE / name / "python", ROOT / "requirements" / f"clients-{name}.lock")


def environment(place: Path, lock: Path, *options: str) -> None:
    """A virtual environment with what a lock says, unless it is there; `options` are more of pip's."""
    if _is_made(place, lock):
        return
    shutil.rmtree(place, ignore_errors=True)
    _run(sys.executable, "-m", "venv", place)
    quiet = ("-q", "--disable-pip-version-check", "--no-input", "--no-compile")
    _run(place / "bin" / "python", "-m", "pip", "install", *quiet, *options, "--require-hashes", "-r", lock)
    _stamp(place, lock)


def node(name: str, packages: str, *arguments: str) -> None:
    """Node's packages, as the lock file beside `package.json` says, installed by the Node of the SDKs."""
    lock, place = LISTS / packages / "package-lock.json", PLACE / name / "node"
    if _is_made(place, lock):
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for each in ("package.json", "package-lock.json"):
        shutil.copy(LISTS / packages / each, place)
    programs = PLACE / "sdks" / "python" / "bin"
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    # What the lock says, with its hashes. `npm ci` refuses one without the packages for every other platform, which
    # not every registry has.
    quiet = ("--no-audit", "--no-fund", "--loglevel=error")
    _run(programs / "npm", "install", *quiet, *arguments, cwd=place, PATH=path)
    _stamp(place, lock)


def _run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> None:
    subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, check=True)


def _is_made(place: Path, lock: Path) -> bool:
    stamp = place / ".stamp"
    return stamp.exists() and stamp.read_text() == _sum(lock)


def _stamp(place: Path, lock: Path) -> None:
    (place / ".stamp").write_text(_sum(lock))


def _sum(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def sdks() -> None:
    python("sdks")
    node("sdks", "sdks")


def some_agents() -> None:
    sdks()
    node("some-agents", "agents", "--omit=dev")


def agents() -> None:
    some_agents()
    python("agents")
    node("agents", "agents")


KINDS = {"sdks": sdks, "some-agents": some_agents, "agents": agents}


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        KINDS[sys.argv[1]]()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"gridtie: the clients could not be installed: {' '.join(map(str, error.cmd))}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
