"""A TOML file as statements: what it says, and on which of its lines. The standard library reads TOML since 3.11 alone,
and does not say where anything stands.
"""

from __future__ import annotations

import re
from typing import List, NamedTuple, Tuple

from .marked import CannotEdit

# Strings first, the long ones before the short ones: what looks like anything else within them is text.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[^"\'#\[\]{}\n]+|.',
    re.DOTALL,
)
_PART = re.compile(r'[ \t]*("(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|[\w-]+)[ \t]*(\.?)')


class Statement(NamedTuple):
    """A table's head, or a setting with its whole value: its name from the file's top, lines [first, after)."""

    name: Tuple[str, ...]
    head: bool
    first: int
    after: int


def statements(text: str) -> List[Statement]:
    """All of them, in order. Raises CannotEdit where a string or a bracket has no end."""
    found: List[Statement] = []
    table: Tuple[str, ...] = ()
    said, first, line, depth = "", 0, 0, 0
    for piece in _TOKEN.findall(text + "\n"):
        if piece in ('"', "'"):
            raise CannotEdit(f"it is no TOML: a text on line {line + 1} has no end")
        depth += (piece in "[{") - (piece in "]}")
        if piece == "\n" and depth == 0:
            if said.strip():
                name, head = _name(said.strip().lstrip("[")), said.strip().startswith("[")
                table = name if head else table
                found.append(Statement(name if head else table + name, head, first, line + 1))
            said = ""
        elif not piece.startswith("#"):
            first = first if said.strip() else line
            said += piece
        line += piece.count("\n")
    if depth or said.strip():
        raise CannotEdit(f"it is no TOML: a bracket on line {first + 1} or below has no end")
    return found


def _name(said: str) -> Tuple[str, ...]:
    parts: List[str] = []
    at = 0
    while True:
        found = _PART.match(said, at)
        if not found:
            return tuple(parts)
        parts.append(found[1].strip("\"'"))
        at = found.end()
        if not found[2]:
            return tuple(parts)
