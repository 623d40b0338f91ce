"""One at a time among those who change the files of a directory; who is killed lets go of it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Iterator


@contextlib.contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Wait until nobody else is, and keep others waiting. Raises `OSError` where the directory cannot be opened."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
