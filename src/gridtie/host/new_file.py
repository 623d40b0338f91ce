"""Files that appear whole: whoever looks sees the old one or the new one, never half of it."""

from __future__ import annotations

import glob
import os
import tempfile
from pathlib import Path
from typing import Optional


def put(path: Path, text: str, mode: Optional[int] = None) -> None:
    """Write `text` to `path` by a rename; without `mode` readable by whom a new file usually is. Raises `OSError`."""
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=_scratch(path))
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(scratch).chmod(0o666 & ~_umask() if mode is None else mode)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def sweep(path: Path) -> None:
    """Remove what a `put` that was killed has left beside `path`: it may hold a secret. Raises `OSError`."""
    for each in path.parent.glob(f"{glob.escape(_scratch(path))}*"):
        each.unlink(missing_ok=True)


def _scratch(path: Path) -> str:
    return f".{path.name}.gridtie-"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
