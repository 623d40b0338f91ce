"""Small JSON files that this program keeps for itself."""

from __future__ import annotations

import json
import os
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


def write_json(path: Path, content: Any) -> None:
    """Replace the file at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    scratch.replace(path)
