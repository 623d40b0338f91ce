"""Plain text tables."""

from __future__ import annotations

from typing import Sequence

from .printable import one_line


def table(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Columns as wide as their widest cell, without what a terminal would obey.

    `right` holds the numbers of the right-aligned ones.
    """
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    )


def indented(text: str) -> str:
    """Several lines behind a letter: all but the first stand below its text."""
    return text.replace("\n", "\n   ")
