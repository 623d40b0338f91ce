"""A log that nothing of the system rotates: what launchd writes for an agent of a person's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# As much as a container's log is cut at (compose/compose.yaml).
MOST_BYTES = 10 << 20


def turn_over(log: Path, most: int = MOST_BYTES) -> bool:
    """Where the log is larger, make it the one before, `NAME.1`, and begin anew; whether that was done. Raises OSError.

    It is copied and cut, and not renamed: launchd has it open to append, and goes on at the new end.
    """
    if not log.is_file() or log.stat().st_size <= most:
        return False
    scratch = log.with_name(f".{log.name}.1")
    shutil.copyfile(log, scratch)
    scratch.replace(log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)
    return True
