"""Runs a piece of work again and again, killed (SIGKILL) one step later each time, and lets it finish afterwards.

A step is a change of the file system, as Python's audit events tell it before it happens. The work runs in a forked
child, so that nothing of it gets a chance to tidy up.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

_CHANGES = {"os.rename", "os.mkdir", "os.rmdir", "os.link", "os.remove", "os.chmod", "os.truncate", "shutil.copyfile"}
# Files are opened to be written in many ways; all of them say so in their flags.
_WRITING = os.O_WRONLY | os.O_RDWR


def kill_everywhere(prepare: Callable[[], None], work: Callable[[], None], check: Callable[[int], None]) -> int:
    """`prepare`, `work` killed at the first step, `work` to the end, `check`; then the same with the second step, and
    so on until the work is done before it is killed. Gives the number of steps at which it was killed.
    """
    step = 1
    while True:
        prepare()
        killed = _run(work, step)
        if killed and _run(work, None):
            raise AssertionError(f"killed at step {step}, and the next run was killed as well")
        check(step)
        if not killed:
            return step - 1
        step += 1


def _run(work: Callable[[], None], step: int | None) -> bool:
    """Whether it was killed at that step. Raises AssertionError if it failed in another way."""
    child = os.fork()
    if child == 0:
        try:
            if step is not None:
                sys.addaudithook(_hook(step))
            work()
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise AssertionError(f"the work failed with status {status}, when it was to be killed at step {step}")
    return status == -signal.SIGKILL


def _hook(step: int) -> Callable[[str, tuple[Any, ...]], None]:
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook
