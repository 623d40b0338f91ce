"""`gridtie usage`: the ledger's report for people, and recomputed from the file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.host import cli
from gridtie.host.cli_usage import GROUPS
from gridtie.ledger import GROUPS as LEDGER_GROUPS
from standins.httpd import Httpd, serving
from standins.ledger import NOON, cloud, local, open_ledger, refused


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    """A real ledger's report on a handful of rows."""
    ledger = open_ledger(tmp_path)
    for row in (local("l1"), local("l2", agent="tester"), cloud("c1", cost_usd=None), refused("r1")):
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


def test_the_question_is_passed_on(router: Httpd) -> None:
    assert cli.main(["usage", "--since", "7d", "--by", "agent"]) == 0
    assert router.asked[0].path == "/gridtie/usage?since=7d&by=agent"


def test_the_text_has_the_statement_the_table_the_gaps_and_how_to_recompute(
    router: Httpd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["usage", "--since", "7d", "--by", "agent"])
    out = capsys.readouterr().out
    assert "Saved $0.002400" in out
    assert "tester         1      1" in out
    assert "Private requests: 0, of which 0 reached a cloud." in out
    assert "sudo gridtie usage --since 7d --by agent --recompute" in out
    assert f"sudo sqlite3 -readonly -header {tmp_path}/ledger/ledger.sqlite 'SELECT count(*) AS requests" in out


def test_json_is_the_report(router: Httpd, report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["usage", "--json"])
    assert json.loads(capsys.readouterr().out) == report


def test_recomputing_agrees_with_the_ledger(router: Httpd, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["usage", "--recompute"]) == 0
    assert "figures agree" in capsys.readouterr().err


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
