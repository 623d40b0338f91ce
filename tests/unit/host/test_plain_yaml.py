"""The part of YAML that a bare host reads is read as a whole reader reads it, and the rest is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from gridtie.host.plain_yaml import PlainYamlError, parse_plain

CONFIG = Path(__file__).parents[3] / "config"

LETTERS = "abXY019 _-.,:'\"#[]{}é~"


def word(draw: random.Random, letters: str = LETTERS) -> str:
    return "".join(draw.choice(letters) for _ in range(draw.randint(0, 8))).strip()


def some(draw: random.Random, depth: int) -> Any:
    """A random value, lists and mappings among it."""
    kind = draw.random() if depth else 1.0
    if kind < 0.25:
        return [some(draw, depth - 1) for _ in range(draw.randint(1, 4))]
    if kind < 0.5:
        return {f"{word(draw, 'abc._')}k": some(draw, depth - 1) for _ in range(draw.randint(1, 3))}
    return draw.choice([word(draw), draw.randint(-9, 10**6), True, None, "true", "12", "1.5", "~", "1_0"])


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_the_projects_own_files_are_read_as_a_whole_reader_reads_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert parse_plain(text) == yaml.safe_load(text)


def test_what_another_program_writes_is_read_as_it_meant_it_or_refused() -> None:
    draw, refused = random.Random(7), 0
    for _ in range(1500):
        document = {"k": some(draw, 3), "l": some(draw, 2)}
        text = yaml.safe_dump(document, default_flow_style=draw.random() < 0.5, width=1000, allow_unicode=True)
        try:
            assert parse_plain(text) == document, text
        except PlainYamlError:
            refused += 1
    assert refused < 750


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x\n", "line 2"),
        ("a: |\n  one\n  two\n", "beyond what is read here|one line"),
        ("a: one\n  two\n", "line 2: a text of one line was expected before, this is 'two'"),
        ("a: 1\na: 2\n", "line 2: a key of its own was expected, this is 'a: 2'"),
        ("a: [1, 2\n", "the end of a list or mapping was expected"),
        ("a: {b: 1} c\n", "nothing was expected behind a list or mapping"),
        ("a:\n    b: 1\n  c: 2\n", "line 3"),
        ("a: !!binary x\n", "beyond what is read here"),
        ('a: "one\n', 'a text in "quotes" was expected'),
        ("just text\n", "line 1: a key of its own was expected"),
    ],
)
def test_what_is_beyond_it_is_an_error_with_its_line(text: str, message: str) -> None:
    with pytest.raises(PlainYamlError, match=message):
        parse_plain(text)


def test_an_empty_text_is_nothing() -> None:
    assert parse_plain("# nothing\n\n") is None
