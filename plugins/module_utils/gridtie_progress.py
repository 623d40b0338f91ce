"""Progress of a long step, from the module that does it to the person who waits.

The callback plugin makes a private file, names it in ``GRIDTIE_PROGRESS_FILE``, and shows the file's content while the
task runs. The playbook hands the variable on through ``environment``. On a remote host the path does not exist: then
nothing is written, and the person sees the task's name and the elapsed time.
"""

from __future__ import annotations

import contextlib
import os

ENVIRONMENT_VARIABLE = "GRIDTIE_PROGRESS_FILE"


def report(message: str) -> None:
    """Say what the running step is doing now, in one short line, such as ``compiling Ollama (go build)``."""
    path = os.environ.get(ENVIRONMENT_VARIABLE)
    if not path:
        return
    line = " ".join(message.split())[:200] + "\n"
    # Never create the file: a path that is not there belongs to another machine. Progress must not break the work.
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0))
        try:
            os.write(descriptor, line.encode("utf-8", "replace"))
        finally:
            os.close(descriptor)
