"""Settings in a file that people write by hand: added between two marks, and what they take the place of set aside.

The file stays a person's own: nothing of it is reordered or reformatted, a line that would contradict ours becomes a
comment with our mark, and `without` gives back every byte of it.
"""

from __future__ import annotations

import re
from typing import Iterable, List

BEGIN = "# >>> gridtie connect >>>"
END = "# <<< gridtie connect <<<"
ASIDE = "# gridtie connect: "


class CannotEdit(Exception):
    """The file is not as such a file usually is; the message says what was found, and what to do by hand."""


def block(lines: Iterable[str], indent: str = "") -> str:
    """Our lines between the marks, each line whole."""
    return "".join(f"{indent}{line}\n" for line in (BEGIN, *lines, END))


def without(text: str) -> str:
    """The file as it was before ours was added, with whatever a person changed since then outside of it."""
    kept: List[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if bare == BEGIN:
            inside = True
        elif bare == END:
            inside = False
        elif not inside:
            kept.append(line[len(ASIDE) :] if line.startswith(ASIDE) else line)
    if inside:
        raise CannotEdit(f'it has the line "{BEGIN}" and none with "{END}": remove what is ours by hand')
    return "".join(kept)


def set_aside(text: str, contradicts: str) -> str:
    """The file with the lines that match the pattern `contradicts` as comments."""
    pattern = re.compile(contradicts)
    return "".join(ASIDE + line if pattern.match(line) else line for line in text.splitlines(keepends=True))


def whole_lines(text: str) -> str:
    """Raise CannotEdit where the last line has no end: it would run into ours, and could not be given back."""
    if text and not text.endswith("\n"):
        raise CannotEdit("its last line has no line end: add one")
    return text
