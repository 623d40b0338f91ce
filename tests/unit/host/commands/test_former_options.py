"""An option by its former name does what today's does, says so beside the output, and takes nothing back."""

from __future__ import annotations

import argparse

import pytest

from gridtie.host.commands.former_options import add_former_options


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    made.add_argument("model", nargs="?")
    made.add_argument("--cache", type=int, choices=(8, 16), default=16)
    made.add_argument("--only", choices=("release", "packages"))
    add_former_options(made, {"--kv": ("--cache", None), "--no-module": ("--only", "release")}, since="2.1.0")
    return made


@pytest.mark.parametrize(
    ("former", "now"),
    [
        (["small", "--kv", "8"], ["small", "--cache", "8"]),
        (["--kv=8", "small"], ["--cache=8", "small"]),
        (["small", "--only", "packages", "--no-module"], ["small", "--only", "release"]),
    ],
)
def test_it_does_the_same_wherever_it_stands(
    parser: argparse.ArgumentParser, former: list[str], now: list[str]
) -> None:
    assert parser.parse_args(former) == parser.parse_args(now)


def test_each_is_told_once_and_on_standard_error(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    parser.parse_args(["--no-module", "--kv", "8"])

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "--no-module is called --only release since 2.1.0; both work",
        "--kv is called --cache since 2.1.0; both work",
    ]


def test_a_value_that_the_new_one_would_refuse_is_refused(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--kv", "9"])

    assert ended.value.code == 2
    assert "argument --cache: invalid choice: 9" in capsys.readouterr().err


def test_help_shows_no_former_name(parser: argparse.ArgumentParser) -> None:
    assert "--kv" not in parser.format_help()
    assert "--no-module" not in parser.format_help()
