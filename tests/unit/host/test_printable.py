"""A terminal shows what others say, and obeys none of it."""

from __future__ import annotations

import pytest

from gridtie.host.printable import one_line, printable
from gridtie.host.table import table


@pytest.mark.parametrize("text", ["a\tb\n", "é 漢字 👩‍💻 سلام", ""])
def test_text_of_any_language_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("character", ["\x1b", "\x07", "\x9b", "\x7f", "\u202e", "\u2066", "\ud83d"])
def test_what_a_terminal_obeys_is_replaced(character: str) -> None:
    assert printable(f"a{character}b") == "a\ufffdb"


def test_a_cell_is_one_line() -> None:
    assert one_line("a\r\n\tb\nc") == "a b c"
    assert len(table(("X",), [("a\nb\x1b[2J",)]).splitlines()) == 3
