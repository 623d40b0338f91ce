"""`gridtie prices` as it is typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gridtie.cli import main

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    for name in ("prices.json", "prices_history.json"):
        shutil.copy(CONFIG / name, tmp_path)
    return tmp_path / "prices.json"


def check(prices: Path, *words: str) -> int:
    return main(["prices", "check", "--prices", str(prices), *words])


def test_the_same_list_differs_in_nothing(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(prices, "--against", str(CONFIG / "prices.json")) == 0

    assert "0 of 56 models differ" in capsys.readouterr().out


def test_what_moved_is_named_and_ends_with_1(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(prices.read_text())
    content["models"]["openai/gpt-5.4-mini"]["output"] = 9.0
    prices.write_text(json.dumps(content))
    other = str(CONFIG / "prices.json")

    assert check(prices, "--against", other) == 1
    said = capsys.readouterr().out
    assert "openai/gpt-5.4-mini  output     9     4.5  -50%" in said
    assert f"1 of 56 models differ from {other}; 0 of ours are not in it. Ours: genai-prices 0.2.3, 2026-11-22" in said

    assert check(prices, "--against", other, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["moves"] == [
        {"model": "openai/gpt-5.4-mini", "rate": "output", "ours": 9.0, "theirs": 4.5, "change": -0.5}
    ]


def test_without_a_list_the_installed_source_is_asked(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(prices.read_text())
    content["models"]["openai/gpt-5.4-mini"]["input"] = 3.0
    prices.write_text(json.dumps(content))

    assert check(prices) == 1

    assert "openai/gpt-5.4-mini" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("against", "says"),
    [
        ("/nonexistent.json", "/nonexistent.json: cannot be read: No such file"),
        ("http://prices.example/list.json", "http://prices.example/list.json: wanted: a file, or an https URL"),
        ("https://127.0.0.1:1/list.json", "https://127.0.0.1:1/list.json: no answer"),
        ("ftp://prices.example/list.json", "wanted: a file, or an https URL"),
    ],
)
def test_a_list_that_cannot_be_had_is_one_sentence_and_a_2(
    prices: Path, capsys: pytest.CaptureFixture[str], against: str, says: str
) -> None:
    assert check(prices, "--against", against) == 2

    said = capsys.readouterr()
    assert says in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_a_list_of_other_models_is_told(prices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"x": {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6}}))

    assert check(prices, "--against", str(other)) == 2

    assert "none of our 56 models is in it" in capsys.readouterr().err


def test_a_place_where_nothing_can_be_written_is_one_sentence_and_a_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "refresh", "--out", "/nonexistent/prices.json"]) == 2

    said = capsys.readouterr()
    assert "cannot be written: No such file or directory; name another place by --out" in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_former_prices_are_shown_with_the_day_until_which_they_held(
    prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prices", "history", "sonnet-4-6", "--prices", str(prices)]) == 0
    assert "until 2026-03-13" in capsys.readouterr().out

    assert main(["prices", "history", "gpt-99", "--prices", str(prices)]) == 1
    assert "no former price of gpt-99 is known" in capsys.readouterr().err
