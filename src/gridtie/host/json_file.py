"""Small JSON files that this program keeps for itself."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The content; None where there is no such file, or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def read_table(path: Path) -> dict[str, Any]:
    """The content, where it is an object; else an empty one."""
    content = read_json(path)
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Any, mode: int = 0o666, *, synced: bool = False) -> None:
    """Replace the file at once. `mode` is cut by the umask, as that of any new file. Raises OSError.

    `synced`: the loss of power leaves the old content or this, and no empty file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        scratch.unlink()
    # Never readable by more than `mode` says, also not for a moment.
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=2, sort_keys=True) + "\n")
        if synced:
            file.flush()
            os.fsync(file.fileno())
    scratch.replace(path)
