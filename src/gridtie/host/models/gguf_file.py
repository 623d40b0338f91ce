"""A model's file on the disk."""

from __future__ import annotations

from pathlib import Path

from ..fit.gguf import Header, parse_header


def read_header(path: Path) -> Header:
    """What the file says that it is. Raises GgufError, and OSError where it cannot be opened."""
    with path.open("rb") as file:
        return parse_header(file, str(path))
