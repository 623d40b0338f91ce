"""Small reads below a root directory, so that a recorded tree of another machine is read like this one."""

from __future__ import annotations

from pathlib import Path
from typing import Optional


def text(path: Path) -> str:
    """What a file says, stripped; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def data(path: Path) -> bytes:
    """The bytes of a file; none where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def number(path: Path) -> Optional[int]:
    """A decimal number; None where there is none."""
    found = text(path)
    return int(found) if found.isdigit() else None


def names(directory: Path) -> list[str]:
    """Sorted names of a directory; none where there is no such directory."""
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return []


def link_name(path: Path) -> str:
    """The last part of what a symbolic link points to. A recorded tree may have a small file with the name instead."""
    if path.is_symlink():
        return path.readlink().name
    return text(path) if path.is_file() else ""
