"""`gridtie usage`: the ledger's report for people, and recomputed from the file."""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.dialects.types import Usage
from gridtie.host import cli
from gridtie.host.commands.usage import GROUPS
from gridtie.ledger import GROUPS as LEDGER_GROUPS
from gridtie.ledger import zone_of
from standins.httpd import Httpd, serving
from standins.ledger import BASELINE, LOCAL, NOON, PRICES, cloud, local, open_ledger, refused

TOKENS = Usage(input=1000, output=100)
ROWS = (
    local("l1", prices=PRICES.charge(LOCAL, "local", BASELINE, TOKENS).prices),
    local("l2", agent="tester"),
    cloud("c1", cost_usd=None),
    refused("r1"),
    cloud("o1", purpose="demo"),
)


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from clock(monkeypatch, "UTC0")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from clock(monkeypatch, "CET-1CEST,M3.5.0,M10.5.0/3")


def clock(monkeypatch: pytest.MonkeyPatch, zone: str) -> Iterator[None]:
    """This process in another zone; by a rule, since a machine need not have a table of zones."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    """A real ledger's report on a handful of rows."""
    ledger = open_ledger(tmp_path)
    for row in ROWS:
        ledger.record(row)
    found = ledger.usage(NOON - 1, NOON + 1, "agent")
    ledger.close()
    return found


@pytest.fixture
def router(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, report: dict[str, Any]) -> Iterator[Httpd]:
    with serving() as server:
        monkeypatch.delenv("GRIDTIE_CONFIG_DIR", raising=False)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "gt-" + "a" * 43)
        monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path))
        server.answers["/gridtie/usage"] = (200, report)
        yield server


def test_the_question_is_passed_on(utc: None, router: Httpd) -> None:
    assert cli.main(["usage", "--since", "7d", "--by", "agent"]) == 0
    assert router.asked[0].path == "/gridtie/usage?since=7d&by=agent"


def test_the_question_says_what_the_clock_here_shows(berlin: None, router: Httpd) -> None:
    cli.main(["usage", "--since", "2026-11-22T15:00:00+01:00", "--by", "day"])
    asked = urllib.parse.parse_qs(router.asked[0].path.partition("?")[2])
    # An unescaped plus sign would arrive as a blank.
    assert asked["since"] == ["2026-11-22T15:00:00+01:00"]
    zone = zone_of(asked["utc_offset"][0])
    assert (zone.offset(NOON), zone.offset(NOON - 120 * 86400)) == (3600, 7200)


def columns(out: str) -> tuple[list[str], dict[str, list[str]]]:
    """The first table: its head, and a line for each name."""
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.split()[:1] == ["requests"])
    rows = [line.split() for line in lines[start + 2 : lines.index("", start)]]
    return lines[start].split(), {row[0]: row[1:] for row in rows}


def test_the_text_has_the_statement_the_tables_and_how_to_recompute(
    berlin: None, router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["usage", "--since", "7d", "--by", "agent"])
    out = capsys.readouterr().out
    assert "Avoided list price, quality unknown: $0.002400" in out
    assert "From 2026-11-22 14:59:59+01:00 to 2026-11-22 15:00:01+01:00." in out
    assert "Cached: 0.0% of the prompts' tokens were not read again." in out
    assert "Private requests: 0, of which 0 reached a cloud." in out
    assert "sudo gridtie usage --since 7d --by agent --recompute" in out
    assert "own traffic (demo): 1 requests, 1,000 tokens in, 100 out, cost $0.004000; in no figure above." in out
    # What is not so is not said, and SQL is for whoever asks for it.
    assert "reserved" not in out
    assert "SELECT" not in out


def test_the_columns_of_the_text_add_up(utc: None, router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["usage", "--by", "agent"])
    head, rows = columns(capsys.readouterr().out)
    numbers = {name: [int(cell) for cell in cells] for name, cells in rows.items()}
    assert head[1:6] == ["answered", "refused", "failed", "interrupted", "cancelled"]
    assert head[6:] == ["local", "cloud", "none"]
    assert [row[0] for row in numbers.values()] == [3, 1, 4]
    for requests, *parts in numbers.values():
        assert (sum(parts[:5]), sum(parts[5:])) == (requests, requests)
    assert [sum(column) for column in zip(numbers["coder"], numbers["tester"], strict=True)] == numbers["all"]


def test_an_answer_billed_above_its_reservation_is_said(
    utc: None, router: Httpd, report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    report["totals"]["over_reserved"] = 2
    cli.main(["usage"])
    assert "Billed above what was reserved for them: 2; a budget may have been overdrawn." in capsys.readouterr().out


def test_a_request_is_shown_with_the_time_of_the_clock_here(
    berlin: None, router: Httpd, capsys: pytest.CaptureFixture[str]
) -> None:
    router.answers["/gridtie/requests/a"] = (200, {"id": "a", "time": NOON, "tries": []})
    cli.main(["requests", "a"])
    assert "time                2026-11-22 15:00:00+01:00" in capsys.readouterr().out


def test_json_is_the_report(router: Httpd, report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Its SQL is for those who recompute it."""
    cli.main(["usage", "--json"])
    assert json.loads(capsys.readouterr().out) == {
        name: value for name, value in report.items() if name not in ("sql", "recompute")
    }


def test_recomputing_agrees_with_the_ledger_and_prints_the_sql(
    router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["usage", "--recompute"]) == 0
    told = capsys.readouterr()
    assert "figures agree, and so does the money of the 1 rows that have rates" in told.err
    assert f"sudo sqlite3 -readonly -header {tmp_path}/ledger/ledger.sqlite 'SELECT count(*) AS requests" in told.out


def test_recomputing_finds_a_row_that_costs_something_else_than_its_tokens_do(
    router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(tmp_path / "ledger" / "ledger.sqlite") as database:
        database.execute("UPDATE requests SET input_tokens = 999, output_tokens = 122 WHERE id = 'l1'")
    database.close()
    assert cli.main(["usage", "--recompute"]) == 1
    assert "1 rows cost something else than their tokens at the rates in them" in capsys.readouterr().err


def test_recomputing_finds_a_figure_that_was_made_up(
    router: Httpd, report: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    report["totals"]["saved_usd"] = 99.0
    assert cli.main(["usage", "--recompute"]) == 1
    assert "totals  saved_usd: the report says 99.0, the ledger says" in capsys.readouterr().err


def test_recomputing_finds_a_row_that_is_gone(
    router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(tmp_path / "ledger" / "ledger.sqlite") as database:
        database.execute("DELETE FROM requests WHERE agent = 'tester'")
    database.close()
    assert cli.main(["usage", "--recompute"]) == 1
    assert "the report has 2 lines, the ledger 1" in capsys.readouterr().err


def test_recomputing_without_the_file_says_where_it_should_be(
    router: Httpd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRIDTIE_STATE_DIR", str(tmp_path / "elsewhere"))
    assert cli.main(["usage", "--recompute"]) == 2
    assert "elsewhere/ledger/ledger.sqlite is not there or may not be read" in capsys.readouterr().err


def test_the_command_knows_the_ledgers_groupings() -> None:
    """The host's code imports nothing of the router's, so the list stands twice."""
    assert GROUPS == LEDGER_GROUPS


OWN = {"name": "app", "environments": ["dev"], "admin": False, "ends": None, "limits": {}, "left": {}}


class TestMine:
    """`gridtie usage --mine`."""

    def test_the_key_that_asks_is_the_one_that_is_asked_about(self, utc: None, router: Httpd) -> None:
        router.answers["/gridtie/key"] = (200, OWN)

        assert cli.main(["usage", "--mine", "--since", "7d"]) == 0
        assert [each.path for each in router.asked] == ["/gridtie/key", "/gridtie/usage?since=7d&key=app"]

    def test_its_limits_are_told_with_what_is_left(
        self, utc: None, router: Httpd, capsys: pytest.CaptureFixture[str]
    ) -> None:
        limits = {"requests_per_minute": 60, "usd_per_day": 5.0, "models": ["coder"]}
        left = {"requests_per_minute": 58, "usd_per_day": 4.25}
        router.answers["/gridtie/key"] = (200, {**OWN, "ends": NOON, "limits": limits, "left": left})
        cli.main(["usage", "--mine"])
        told = capsys.readouterr().out

        assert told.startswith("Key: app, for dev, ends 2026-")
        assert "Limit: 60 requests a minute, 58 left.\n" in told
        assert "Limit: $5.0000 a day at clouds, $4.2500 left.\n" in told
        assert "Limit: it may ask for coder.\n" in told

    def test_nothing_is_said_that_its_holder_cannot_do(
        self, utc: None, router: Httpd, capsys: pytest.CaptureFixture[str]
    ) -> None:
        router.answers["/gridtie/key"] = (200, OWN)
        cli.main(["usage", "--mine"])
        told = capsys.readouterr().out

        assert "It has no limits of its own." in told
        assert "sudo" not in told

    def test_as_json_the_key_is_beside_the_report(
        self, utc: None, router: Httpd, capsys: pytest.CaptureFixture[str]
    ) -> None:
        router.answers["/gridtie/key"] = (200, OWN)
        cli.main(["usage", "--mine", "--json"])
        told = json.loads(capsys.readouterr().out)

        assert told["key"] == OWN
        assert "totals" in told
