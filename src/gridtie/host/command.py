"""Runs a program of the system, and says how that ended."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import List, Optional, Sequence


@dataclass(frozen=True)
class Ran:
    """A finished command. `status` 127: there is no such command; 124: it took too long."""

    status: int
    out: str
    err: str


def docker_at(host: Optional[str], cli: Optional[str] = None) -> List[str]:
    """How a command of Docker's begins: by the program `cli`, against the daemon at `host`, or the usual of both."""
    return [cli or "docker", *(["--host", host] if host else [])]


def run_command(argv: Sequence[str], timeout: float = 10.0) -> Ran:
    """Run it and wait. Its messages are in English, whatever the caller's language, so that they can be matched."""
    environ = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, env=environ, check=False)
    except FileNotFoundError:
        return Ran(127, "", f"there is no {argv[0]} command here")
    except subprocess.TimeoutExpired:
        return Ran(124, "", f"{argv[0]} gave no answer within {timeout:g} s")
    return Ran(done.returncode, done.stdout, done.stderr)
