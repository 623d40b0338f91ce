"""Settings in a file that people write by hand: added between two marks, and what they take the place of set aside.

The file stays a person's own: nothing of it is reordered or reformatted, a line that would contradict ours becomes a
comment with our mark, and `without` gives back every byte of it.
"""

from __future__ import annotations

import re
from typing import Callable, Container, Iterable, List

BEGIN = "# >>> gridtie connect >>>"
END = "# <<< gridtie connect <<<"
ASIDE = "# gridtie connect: "


class CannotEdit(Exception):
    """The file is not as such a file usually is; the message says what was found, and what to do by hand."""


def split(text: str) -> List[str]:
    """Its lines with their ends. Only a line feed ends one: what else Python takes for an end may stand in a text."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def block(lines: Iterable[str], indent: str = "") -> str:
    """Our lines between the marks, each line whole."""
    return "".join(f"{indent}{line}\n" for line in (BEGIN, *lines, END))


def without(text: str, theirs: Callable[[List[str]], List[str]] = lambda inside: []) -> str:
    """The file as it was before ours was added, with whatever a person changed since then outside of it.

    `theirs` picks what of the lines between the marks is not ours, since a program wrote it there.
    """
    kept: List[str] = []
    inside: List[str] = []
    within = False
    for line in split(text):
        bare = line.strip()
        if bare == BEGIN:
            within, inside = True, []
        elif bare == END:
            kept += theirs(inside) if within else []
            within = False
        elif within:
            inside.append(line)
        else:
            kept.append(line[len(ASIDE) :] if line.startswith(ASIDE) else line)
    if within:
        raise CannotEdit(f'it has the line "{BEGIN}" and none with "{END}": remove what is ours by hand')
    return "".join(kept)


def set_aside(text: str, numbers: Container[int]) -> str:
    """The file with the lines of these numbers, counted from 0, as comments."""
    return "".join(ASIDE + line if number in numbers else line for number, line in enumerate(split(text)))


def editable(text: str) -> str:
    """The file without ours, its last line whole. Raises CannotEdit where nothing may stand before its first line."""
    if text.startswith("\ufeff"):
        raise CannotEdit("it begins with a byte-order mark: save it as plain UTF-8")
    text = without(text)
    return text if not text or text.endswith("\n") else text + "\n"
