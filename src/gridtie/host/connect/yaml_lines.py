"""A YAML file by its lines: whether ours can be added to it, and which of its lines say the same as ours.

There is no YAML in the standard library. What cannot be judged line by line is refused, never guessed.
"""

from __future__ import annotations

import re
from typing import List, Sequence, Set

from .marked import CannotEdit, split

_BY_HAND = "add ours by hand"


def begins(text: str) -> int:
    """The number of the line behind the mark that opens the document; 0 where there is none. Raises CannotEdit."""
    lines = split(text)
    opened = [number for number, line in enumerate(lines) if re.match(r"---(\s|$)", line)]
    if any(re.match(r"\.\.\.\s*$|%", line) for line in lines):
        raise CannotEdit(f"it has directives or an end mark of YAML; {_BY_HAND}")
    if not opened:
        return 0
    if len(opened) > 1 or _said(lines[: opened[0]]) or lines[opened[0]].strip() != "---":
        raise CannotEdit(f"it holds more than one document; {_BY_HAND}")
    return opened[0] + 1


def check(text: str, what: str) -> None:
    """Raise CannotEdit unless it is a mapping or a list ("- ") in block style that begins at the margin."""
    first = next(iter(_said(split(text)[begins(text) :])), "")
    wanted = r"-\s" if what == "list" else r"""(["']?)[\w./-]+\1\s*:(\s|$)"""
    if first and not re.match(wanted, first):
        raise CannotEdit(f"it is no {what} with one entry a line at the margin; {_BY_HAND}")


def settings(text: str, names: Sequence[str]) -> Set[int]:
    """The numbers of the lines of these settings at the margin, values of several lines included. Raises CannotEdit."""
    wanted = re.compile(rf"""(["']?)({"|".join(map(re.escape, names))})\1\s*:""")
    found: Set[int] = set()
    within = False
    lines = split(text)
    for number, line in enumerate(lines):
        if not line.strip() or line.startswith("#"):
            continue
        if not (line[0].isspace() or line.startswith("-")):
            within = bool(wanted.match(line))
        if within:
            found.add(number)
    anchors = {name for number in found for name in re.findall(r"[:\s-]\s*&([^\s,\]}]+)", lines[number])}
    if any(f"*{name}" in line for name in anchors for number, line in enumerate(lines) if number not in found):
        raise CannotEdit(f"an anchor (&) of a setting that ours replaces is used elsewhere in it; {_BY_HAND}")
    return found


def _said(lines: Sequence[str]) -> List[str]:
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
