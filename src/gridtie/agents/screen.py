"""What a run shows: each agent's answer as it streams, one line about its result, and the closing table.

The same text goes to a terminal and into a log; colour is used only on a terminal, and not with NO_COLOR.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

_MARGIN = "  | "
_INDENT = "    "
# A log has no width; 80 columns read well everywhere. A very wide terminal is not filled.
_LOG_WIDTH = 80
_WIDEST = 110
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32"}


class Screen:
    """Writes to one stream."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._stream = stream
        self._live = stream.isatty()
        self._colour = self._live and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        columns = shutil.get_terminal_size((_LOG_WIDTH, 24)).columns if self._live else _LOG_WIDTH
        self.width = max(40, min(columns, _WIDEST))
        self._column = 0
        self._gap = ""
        self._word = ""

    def styled(self, text: str, *styles: str) -> str:
        """`text` in terminal styles, or plain where colour is off."""
        if not self._colour or not text or not styles:
            return text
        return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"

    def line(self, text: str = "", *styles: str) -> None:
        """One paragraph or list item, wrapped at the width."""
        lead = re.match(r" *(- )?", text)
        hanging = " " * len(lead.group()) if lead else ""
        wrapped = textwrap.wrap(
            text, self.width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
        )
        for part in wrapped or [""]:
            self._write(self.styled(part, *styles) + "\n")

    def field(self, label: str, text: str) -> None:
        """A labelled line; its continuation lines stand under the text, not under the label."""
        lead = f"  {label:<8} "
        wrapped = textwrap.wrap(text, self.width - len(lead), break_long_words=False, break_on_hyphens=False)
        self._write(f"{self.styled(lead, 'dim')}{(chr(10) + ' ' * len(lead)).join(wrapped)}\n")

    def agent(self, name: str, purpose: str) -> None:
        """The heading of an agent's turn."""
        self._write(f"\n{self.styled(name, 'bold')}  {purpose}\n")

    def source(self, text: str) -> None:
        """A file's text, indented and never wrapped: wrapped Python is not Python."""
        self._write(textwrap.indent(text, _INDENT))

    def result(self, text: str, good: bool | None = None) -> None:
        """What came of a turn; `good` colours it, None leaves it plain."""
        self.end_of_answer()
        style = {True: ("green",), False: ("red",), None: ()}[good]
        self.line(_INDENT + text, *style)

    def answer(self, text: str) -> None:
        """A piece of a streamed answer, wrapped at words behind a margin."""
        for part in re.findall(r"\n|[ \t]+|[^\s]+", text.replace("\r", "")):
            if part == "\n" or part.isspace():
                self._flush_word()
                self._space(part)
            else:
                self._word += part

    def end_of_answer(self) -> None:
        """Finish the margin block, if one is open."""
        self._flush_word()
        self._gap = ""
        if self._column:
            self._write("\n")
            self._column = 0

    def _flush_word(self) -> None:
        word, self._word = self._word, ""
        if not word:
            return
        gap, self._gap = self._gap, ""
        if self._column > len(_MARGIN) and self._column + len(gap) + len(word) > self.width:
            # The gap falls away with the line's end: wrapped text has no blanks at its edges.
            self._write("\n")
            self._column, gap = 0, ""
        self._open_line()
        self._write(gap + self.styled(word, "dim"))
        self._column += len(gap) + len(word)

    def _space(self, part: str) -> None:
        if part == "\n":
            self._gap = ""
            self._open_line()
            self._write("\n")
            self._column = 0
        else:
            self._gap += part.expandtabs(4)

    def _open_line(self) -> None:
        if not self._column:
            self._write(_MARGIN)
            self._column = len(_MARGIN)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], total: Sequence[str]) -> None:
        """A table: text columns left, figures right; the second column gives way when the terminal is narrow."""
        widths = [max(len(row[n]) for row in (header, *rows, total)) for n in range(len(header))]
        excess = sum(widths) + 2 * (len(widths) - 1) - self.width
        if excess > 0:
            widths[1] = max(8, widths[1] - excess)
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        self._write("\n" + self.styled(_cells(header, widths), "bold") + "\n" + self.styled(rule, "dim") + "\n")
        for row in rows:
            self._write(_cells(row, widths) + "\n")
        self._write(self.styled(rule, "dim") + "\n" + _cells(total, widths) + "\n")


# Columns of the closing table that hold words; the others hold figures.
_TEXT_COLUMNS = 3


def _cells(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        _shorten(cell, width).ljust(width) if number < _TEXT_COLUMNS else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _shorten(text: str, width: int) -> str:
    """A name that is too long keeps its end: the tag tells models apart."""
    return text if len(text) <= width else "~" + text[len(text) - width + 1 :]
