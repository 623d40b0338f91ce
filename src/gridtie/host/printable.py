"""What others say, such as a model or a client's name, before it is put on a terminal, which obeys some of it."""

from __future__ import annotations

import re

# Controls but for tab and line feed, what turns the direction of writing, and halves of pairs, which cannot be written.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with a replacement character for each that a terminal would obey. A carriage return is left out."""
    return _OBEYED.sub("\ufffd", text.replace("\r", ""))


def one_line(text: str) -> str:
    """The same for a cell of a table."""
    return printable(" ".join(re.split(r"[\n\t]+", text)))
