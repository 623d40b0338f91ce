"""Files that appear whole: whoever looks sees the old one or the new one, never half of it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Optional


def put(path: Path, text: str, mode: Optional[int] = None) -> None:
    """Write `text` to `path` by a rename; without `mode` readable by whom a new file usually is. Raises `OSError`."""
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(scratch).chmod(0o666 & ~_umask() if mode is None else mode)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink()
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
