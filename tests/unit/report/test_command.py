"""`gridtie report` as it is typed: what it prints, where it writes, and what it says to a question it cannot answer."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridtie.cli import main
from gridtie.ledger.schema import VERSION
from standins.ledger import cloud, local
from unit.report.conftest import ROWS, Make

CONFIG = Path(__file__).parents[3] / "config"
PERIOD = ("--since", "2026-11-20", "--until", "2026-11-24", "--utc-offset", "0")


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Path]:
    """The configuration that ships, to be changed."""
    place = tmp_path / "config"
    place.mkdir()
    for name in ("llm_routing.yaml", "prices.json"):
        shutil.copy(CONFIG / name, place)
    return place


def run(ledger: Path, config: Path, *words: str, period: tuple[str, ...] = PERIOD) -> int:
    return main(["report", "--ledger", str(ledger), "--config", str(config), *period, *words])


def test_the_text_has_the_bottom_line_and_a_table_for_each_dimension_that_was_asked_for(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ledger_of(), config, "--by", "key", "--by", "tag") == 0

    said = capsys.readouterr().out
    assert "= net" in said
    assert "By key\n" in said
    assert "By tag\n" in said
    assert "By model\n" not in said
    assert "300 W while a machine of ours was answering" in said
    assert "assumed, since costs.electricity is not set" in said


def test_json_is_the_whole_report_with_its_sql(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ledger_of(), config, "--json") == 0

    report = json.loads(capsys.readouterr().out)
    assert (report["schema"], report["currency"]) == (1, "USD")
    assert report["totals"]["requests"] == 11
    assert report["sql"]["traffic"].startswith("CREATE TEMP TABLE traffic")


def test_csv_has_a_line_for_each_value_of_each_dimension(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ledger_of(), config, "--csv") == 0

    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (lines[0]["dimension"], lines[0]["requests"], lines[0]["currency"]) == ("total", "11", "USD")
    assert {line["group"] for line in lines if line["dimension"] == "environment"} == {"dev", "test", "production"}


def test_a_name_that_a_spreadsheet_would_run_is_text_in_the_csv(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(ledger_of([local("a", agent="=cmd|'/c calc'!a0")]), config, "--csv") == 0

    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["group"] for line in lines if line["dimension"] == "agent"] == ["'=cmd|'/c calc'!a0"]


def test_a_file_appears_whole_or_not_at_all(
    ledger_of: Make, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, out = ledger_of(), tmp_path / "out"
    out.mkdir()
    assert run(ledger, config, "--json", "--out", str(out / "report.json")) == 0
    before = (out / "report.json").read_text()

    assert run(ledger, config, "--json", "--out", str(out / "report.json"), "--key", "nobody") == 2

    assert (out / "report.json").read_text() == before
    assert [path.name for path in out.iterdir()] == ["report.json"]
    assert capsys.readouterr().out == ""


def test_a_report_that_was_saved_is_computed_again_from_the_ledger(
    ledger_of: Make, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger, saved = ledger_of(), tmp_path / "saved.json"
    run(ledger, config, "--json", "--out", str(saved))

    assert run(ledger, config, "--recompute", str(saved)) == 0
    said = capsys.readouterr()
    assert "every figure of the report agrees" in said.err
    assert "CREATE TEMP TABLE traffic" in said.out

    saved.write_text(saved.read_text().replace('"requests": 11', '"requests": 12'))
    assert run(ledger, config, "--recompute", str(saved)) == 1
    assert "totals  requests: the report says 12, the ledger says 11" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: saved["sql"].pop("totals"),
        # Printed for a shell of SQLite, it would be a command of that.
        lambda saved: saved["sql"].update({"x\n.shell id": "SELECT 1"}),
        lambda saved: saved.update(totals=12),
        lambda saved: saved["by"].update(model=["12"]),
    ],
)
def test_a_report_that_is_short_of_sql_or_has_other_is_not_said_to_agree(
    ledger_of: Make,
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], None],
) -> None:
    ledger, file = ledger_of(), tmp_path / "saved.json"
    run(ledger, config, "--json", "--out", str(file))
    saved = json.loads(file.read_text())
    change(saved)
    file.write_text(json.dumps(saved))

    assert run(ledger, config, "--recompute", str(file)) in (1, 2)

    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "Traceback" not in said.err


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3 program here")
def test_the_script_that_it_prints_runs_in_sqlite3_alone(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = ledger_of()
    assert run(ledger, config, "--recompute") == 0

    done = subprocess.run(
        ["sqlite3", "-readonly", "-bail", str(ledger)],
        input=capsys.readouterr().out,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == ""
    assert "bottom_line\n" in done.stdout


def test_a_private_request_at_a_cloud_ends_with_1(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = ledger_of([*ROWS, cloud("leak", private=True)])

    assert run(ledger, config) == 1

    said = capsys.readouterr()
    assert said.out.startswith("ALARM: 1 private requests reached a cloud (leak)")
    assert "reached a cloud" in said.err


@pytest.mark.parametrize(("percent", "status"), [("90", 0), ("99.9", 1)])
def test_a_reduction_that_was_expected_holds_or_is_told_with_the_traffic_it_is_of(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str], percent: str, status: int
) -> None:
    rows = [local("a", duration=1.0), cloud("b", environment="production")]

    assert run(ledger_of(rows), config, "--environment", "DEV", "--expect", percent) == status

    said = capsys.readouterr().err
    assert ("were expected, of 1 request of users with environment dev" in said) is bool(status)


def test_a_month_is_one_of_the_readers_calendar(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        local("in", time=1_793_487_600.0),
        local("out", time=1_793_487_599.0),
    ]  # 2026-11-01 00:00 at UTC+1, and before

    words = ("--month", "2026-11", "--utc-offset", "60", "--json")
    assert run(ledger_of(rows), config, *words, period=()) == 0

    assert json.loads(capsys.readouterr().out)["totals"]["requests"] == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--since", "soon"), "time 'soon' found; wanted 24h, 7d or 2w (ago)"),
        (("--since", "2026-11-24", "--until", "2026-11-20"), "wanted: --since before --until"),
        (("--month", "2026-13"), "month '2026-13' found; wanted one as 2026-11"),
        (("--since", "2020-01-01", "--until", "2020-02-01"), "the ledger has 14 from 2026-11-21 14:00"),
        ((*PERIOD, "--key", "nobody"), "no request of that kind lies between 2026-11-20 00:00"),
        ((*PERIOD, "--baseline", "openai/gpt-99"), 'no price of "openai/gpt-99" is in prices.json of'),
        ((*PERIOD, "--kwh", "-1"), "--kwh -1 found; wanted the kilowatt-hours of the period"),
        ((*PERIOD, "--utc-offset", "CET"), "utc_offset 'CET' found; wanted minutes east of UTC"),
        ((*PERIOD, "--recompute", "/nonexistent.json"), "/nonexistent.json cannot be read"),
        ((*PERIOD, "--out", "/nonexistent/report.txt"), "/nonexistent/report.txt cannot be written"),
    ],
)
def test_a_question_that_cannot_be_answered_is_one_sentence_and_a_2(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    assert run(ledger_of(), config, *words, period=()) == 2

    said = capsys.readouterr()
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_ledger_that_cannot_be_read_is_one_sentence_and_a_2(
    ledger_of: Make, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = ledger_of()
    older, newer, foreign, empty, text = (
        tmp_path / f"{name}.sqlite" for name in ("old", "new", "other", "empty", "text")
    )
    for path, version in ((older, VERSION - 1), (newer, VERSION + 1), (foreign, 0)):
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE notes (id)")
            connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
    empty.touch()
    text.write_text("no database, but a text that is long enough to be looked at" * 20)

    for path, says in (
        (tmp_path / "nowhere.sqlite", "No such file or directory; wanted: the ledger of a station"),
        (empty, "is empty, and no ledger"),
        (text, "file is not a database; give the ledger.sqlite of a station"),
        (foreign, f"ledger schema 0 found, {VERSION} wanted; give the ledger.sqlite of a station"),
        (older, "start the router of this gridtie once, which brings it up to date"),
        (newer, "ask with the newer gridtie that wrote it"),
    ):
        assert run(path, config) == 2
        said = capsys.readouterr()
        assert says in said.err, path
        assert said.err.count("\n") == 1
        assert said.out == ""
    assert run(ledger, config) == 0


def test_a_ledger_that_another_program_has_locked_is_one_sentence_and_a_2(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gridtie.report.ledger_file._WAIT_S", 0.1)
    ledger = ledger_of()
    other = sqlite3.connect(ledger, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("UPDATE requests SET error = ''")

    assert run(ledger, config) == 2

    assert "database is locked; another program has held it for 0.1 s" in capsys.readouterr().err
    other.close()


def test_a_disk_that_is_too_small_for_the_sums_is_one_sentence_and_a_2(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("gridtie.report.figures.read", full)

    assert run(ledger_of(), config) == 2

    assert "disk is full; free space where temporary files are kept, or ask for" in capsys.readouterr().err


def test_a_ledger_that_nobody_has_open_is_read_where_nothing_can_be_written(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container sees the ledger's directory read-only, and SQLite may not put its files beside it."""
    ledger = ledger_of()
    assert not ledger.with_name("ledger.sqlite-wal").exists()
    monkeypatch.setattr("os.access", lambda *_: False)
    ledger.parent.chmod(0o500)

    assert run(ledger, config) == 0
    assert [path.name for path in ledger.parent.glob("ledger.sqlite*")] == ["ledger.sqlite"]
    ledger.parent.chmod(0o700)


def test_prices_and_routing_that_do_not_hold_are_one_sentence_and_a_2(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = ledger_of()
    (config / "prices.json").write_text("{")
    assert run(ledger, config) == 2
    assert "prices.json" in capsys.readouterr().err

    (config / "llm_routing.yaml").write_text("costs: {electricity: {watts: -3}}")
    assert run(ledger, config) == 2
    assert "llm_routing.yaml" in capsys.readouterr().err


def test_local_models_with_prices_cost_those_in_place_of_electricity(
    ledger_of: Make, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    routing = config / "llm_routing.yaml"
    own = """
  gpu-server:
    type: openai
    base_url: https://gpu.example.internal/v1
    locality: local
    prices: {some-model: {input: 0.10, output: 0.40}}
"""
    text = routing.read_text().replace("\nproviders:\n", "\nproviders:" + own, 1)
    routing.write_text(text.replace("use: [local, cloud]\n", "use: [local, gpu-server/some-model, cloud]\n", 1))

    assert run(ledger_of(), config, "--json", "--model", "gpu-server/some-model") == 0

    totals = json.loads(capsys.readouterr().out)["totals"]
    assert (totals["own_usd"], totals["electricity_usd"]) == (pytest.approx(0.00014), 0.0)


WHAT_IF = """
traffic: {requests_per_day: 100, input_tokens: 1000, output_tokens: 100}
candidates:
  - {name: laptop, cloud: openai/gpt-5.4, local_share: 0.5, electricity: {watts: 60}}
"""


def test_what_if_tells_where_the_money_would_go(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "what.yaml"
    file.write_text(WHAT_IF)

    # Assumed traffic needs no ledger.
    assert run(tmp_path / "none.sqlite", config, "--what-if", str(file)) == 0
    said = capsys.readouterr().out
    assert "assumed are 100 requests a day of 1,000 tokens in and 100 out, over 30 days" in said
    assert "laptop" in said
    # By its own file, and not by the routing file's costs.electricity.
    assert "60 W while a machine of ours was answering (1.5 h), at $0.30 a kilowatt-hour, as set: " in said

    assert run(tmp_path / "none.sqlite", config, "--what-if", str(file), "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["candidates"]
    assert one["bottom_line"]["cloud_usd"] == pytest.approx(1500 * 0.004)


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        ("candidates: []", (), "candidates: the list is empty"),
        (WHAT_IF.replace("gpt-5.4", "gpt-99"), (), 'no price of "openai/gpt-99"'),
        (WHAT_IF, ("--csv",), "--what-if is text, --json or --html"),
        (WHAT_IF, ("--kwh", "5"), "--kwh says nothing of the candidates of --what-if"),
        (WHAT_IF, ("--expect", "50"), "--expect says nothing of the candidates"),
        (WHAT_IF, ("--quality", "/nonexistent.json"), "--quality says nothing of the candidates"),
        (WHAT_IF, ("--what-if", "/nonexistent.yaml"), "/nonexistent.yaml: cannot be read"),
        ("candidates: [{name: a}]", (), "none.sqlite: No such file or directory"),
    ],
)
def test_a_what_if_that_cannot_be_answered_is_one_sentence_and_a_2(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: tuple[str, ...], says: str
) -> None:
    file = tmp_path / "what.yaml"
    file.write_text(text)

    assert run(tmp_path / "none.sqlite", config, "--what-if", str(file), *words) == 2

    said = capsys.readouterr()
    assert says in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
