"""A run that is killed -9 again and again, at the boundaries of its stages and inside the longest one."""

from __future__ import annotations

import re
import time
from collections.abc import Collection

from lab.host import Host

# A stage's closing line: its title, how long it took, how it ended.
STAGE = re.compile(r"^  (?P<title>[A-Z][\w -]+?) +(?:\d+ min )?[\d.]+ s +(?P<state>ok|changed|would change)\b")
# The point that is no boundary.
INSIDE = "inside"
# More kills than there are points is a run that does not get on.
MOST = 12


def through_kills(
    machine: Host, command: str, *, after: str, seconds: float, at: Collection[str] = ()
) -> tuple[str, set[str]]:
    """Run a command until it comes to its end, killed at each stage boundary (those `at`, or all of them) once, and
    once `seconds` after the stage `after` has ended.

    Returns what the last run printed, and where it was killed.
    """
    killed: set[str] = set()
    for _ in range(MOST):
        output, point = _until_killed(machine, command, killed, after, seconds, at)
        if point is None:
            return output, killed
        killed.add(point)
    raise AssertionError(f"killed at {killed}, and still not at its end:\n{output[-8000:]}")


def _until_killed(
    machine: Host, command: str, killed: set[str], after: str, seconds: float, at: Collection[str]
) -> tuple[str, str | None]:
    lines: list[str] = []
    with machine.start(command) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            ended = STAGE.match(line)
            if ended and ended["title"] not in killed and (not at or ended["title"] in at):
                kill(machine)
                return "".join(lines), ended["title"]
            if ended and ended["title"] == after and INSIDE not in killed:
                time.sleep(seconds)
                kill(machine)
                return "".join(lines), INSIDE
    assert process.returncode == 0, "".join(lines)[-8000:]
    return "".join(lines), None


def kill(machine: Host) -> None:
    """All of a run of `make` at once, so that nothing of it can clean up."""
    words = "make (site|upgrade)|scripts/playbook|ansible-playbook|AnsiballZ"
    machine.run(f"pkill -9 -f '{words}'; true", user="root", cwd="/")
