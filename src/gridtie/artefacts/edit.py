"""Changes single values of a YAML file and leaves every other byte, comments among them, as people wrote it.

For files of block mappings with plain scalar values, one a line, as config/artefacts.yaml is. A YAML library would read
the file and write it without its comments. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_KEY = re.compile(r"(?P<indent> *)(?P<key>[\w.-]+):(?P<rest>.*)")
_VALUE = re.compile(r"(?P<space> *)(?P<value>\"[^\"]*\"|[^#\s]\S*|)(?P<comment> *(?:#.*)?)")


class EditError(ValueError):
    """The file has no such place, or it is written in a way that this does not change."""


def set_value(text: str, path: Sequence[str], value: str) -> str:
    """The text with another scalar at `path`; `value` is written as it is, so it carries its own quotes."""
    lines = text.splitlines()
    number = _find(lines, path)
    key = _KEY.fullmatch(lines[number])
    old = _VALUE.fullmatch(key["rest"]) if key else None
    if key is None or old is None or not old["value"]:
        raise EditError(f"{'.'.join(path)} (line {number + 1}) holds no plain value: {lines[number].strip()!r}")
    lines[number] = f"{key['indent']}{key['key']}: {value}{old['comment']}"
    return "\n".join([*lines, ""])


def sort_children(text: str, path: Sequence[str]) -> str:
    """The text with the entries of the mapping at `path` in the order of their keys, comments above each with it."""
    lines = text.splitlines()
    number = _find(lines, path)
    first, stop = _extent(lines, number)
    indent, start = _indent(lines[first]), number + 1
    entries: list[list[str]] = []
    pending: list[str] = []
    for line in lines[start:stop]:
        pending.append(line)
        if _indent(line) == indent and _KEY.fullmatch(line):
            entries.append(pending)
            pending = []
        elif entries and _indent(line) > indent and len(pending) == 1:
            entries[-1].append(pending.pop())
    entries.sort(key=_key_of)
    return "\n".join([*lines[:start], *(line for entry in entries for line in entry), *pending, *lines[stop:], ""])


def _key_of(entry: list[str]) -> str:
    """The key of an entry: the first line that is no comment."""
    return next(line for line in entry if not line.lstrip().startswith("#")).strip()


def _find(lines: list[str], path: Sequence[str]) -> int:
    """Number of the line with the key that `path` leads to."""
    start, stop, found = 0, len(lines), -1
    for depth, key in enumerate(path):
        indent = _indent(lines[start]) if depth else 0
        matches = [
            number
            for number in range(start, stop)
            if (match := _KEY.fullmatch(lines[number])) and match["key"] == key and len(match["indent"]) == indent
        ]
        if len(matches) != 1:
            raise EditError(
                f"{'.'.join(path[: depth + 1])} is {'not' if not matches else 'more than once'} in the file"
            )
        found = matches[0]
        start, stop = _extent(lines, found)
    return found


def _extent(lines: list[str], number: int) -> tuple[int, int]:
    """Where the mapping below a key begins (at its first key) and ends, blank lines and comments after it left out."""
    indent = _indent(lines[number])
    stop = last = number + 1
    while stop < len(lines) and (not lines[stop].strip() or _indent(lines[stop]) > indent):
        stop += 1
        if lines[stop - 1].strip():
            last = stop
    start = number + 1
    while start < last and lines[start].lstrip().startswith("#"):
        start += 1
    return start, last


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
