"""A run that is killed -9, at the boundaries of its stages and inside the longest one, as often as it is asked for."""

from __future__ import annotations

import os
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
# Runs are killed wherever they can be: `make test PART=kills`. Else three are, once each: docs/decisions/0011.
EVERYWHERE = os.environ.get("GRIDTIE_TEST_KILLS") == "everywhere"


def through_kills(
    machine: Host, command: str, *, at: Collection[str] | None, inside: tuple[str, float] | None
) -> tuple[str, set[str]]:
    """Run a command until it comes to its end, killed once at each of the stage boundaries `at` (None: at all of them),
    and once so many seconds after a stage has ended (`inside`).

    Returns what the last run printed, and where it was killed.
    """
    killed: set[str] = set()
    for _ in range(MOST):
        output, point = _until_killed(machine, command, killed, at, inside)
        if point is None:
            return output, killed
        killed.add(point)
    raise AssertionError(f"killed at {killed}, and still not at its end:\n{output[-8000:]}")


def _until_killed(
    machine: Host, command: str, killed: set[str], at: Collection[str] | None, inside: tuple[str, float] | None
) -> tuple[str, str | None]:
    lines: list[str] = []
    with machine.start(command) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            ended = STAGE.match(line)
            if ended and ended["title"] not in killed and (at is None or ended["title"] in at):
                kill(machine)
                return "".join(lines), ended["title"]
            if ended and inside and ended["title"] == inside[0] and INSIDE not in killed:
                time.sleep(inside[1])
                kill(machine)
                return "".join(lines), INSIDE
    assert process.returncode == 0, "".join(lines)[-8000:]
    return "".join(lines), None


def kill(machine: Host) -> None:
    """All of a run of `make` at once, so that nothing of it can clean up."""
    words = "make (site|upgrade)|scripts/playbook|ansible-playbook|AnsiballZ"
    machine.run(f"pkill -9 -f '{words}'; true", user="root", cwd="/")
