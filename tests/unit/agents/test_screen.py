"""What a run shows, on a terminal and in a log."""

from __future__ import annotations

import io
import os

import pytest

from gridtie.agents.screen import Screen


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_log_has_no_escape_sequences() -> None:
    """Colour is for terminals."""
    log = io.StringIO()
    screen = Screen(log, {"TERM": "xterm"})
    screen.agent("planner", "plans")
    screen.result("fine", True)

    assert "\x1b" not in log.getvalue()


@pytest.mark.parametrize(
    ("environ", "coloured"), [({"TERM": "xterm"}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_a_terminal_is_coloured_unless_it_asks_not_to_be(environ: dict[str, str], coloured: bool) -> None:
    """NO_COLOR and a dumb terminal are respected."""
    terminal = Terminal()
    Screen(terminal, environ).result("fine", True)

    assert ("\x1b[" in terminal.getvalue()) is coloured


def test_a_streamed_answer_is_the_same_however_it_is_cut_into_pieces() -> None:
    """The pieces of a stream fall anywhere, also in the middle of a word."""
    text = "def f(n):\n    return n  # " + "a comment that is longer than a line " * 3 + "\n\ndone"
    shown = []
    for size in (1, 7, len(text)):
        log = io.StringIO()
        screen = Screen(log, {})
        for start in range(0, len(text), size):
            screen.answer(text[start : start + size])
        screen.end_of_answer()
        shown.append(log.getvalue())

    assert shown[0] == shown[-1]
    assert "  |     return n  # a comment" in shown[0]


def test_nothing_is_wider_than_eighty_columns_in_a_log() -> None:
    """Answers, paragraphs and the table keep to the width."""
    log = io.StringIO()
    screen = Screen(log, {})
    screen.answer("word " * 60)
    screen.result("result " * 40)
    row = ("coder x6", "provider/a-model-with-a-very-long-name:70b-instruct-q4", "local", *["123456"] * 6)
    screen.table(("agent", "model", "where", "in", "out", "first", "tok/s", "cost $", "cloud $"), [row], row)

    assert max(len(line) for line in log.getvalue().splitlines()) <= 80
    assert "~b-instruct-q4" in log.getvalue()


def test_a_terminal_of_unknown_size_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS decides, within sensible bounds."""
    monkeypatch.setitem(os.environ, "COLUMNS", "20")

    assert Screen(Terminal(), {}).width == 40
