"""Whatever rows a ledger has: tables add up, shares are shares, and nothing is paid twice."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gridtie.config.schema import Hardware
from gridtie.ledger import Entry
from gridtie.ledger.schema import MIGRATIONS
from gridtie.ledger.store import _COLUMNS, _RARE, _rare, _row
from gridtie.report.figures import figures
from gridtie.report.ledger_file import read
from gridtie.report.question import DIMENSIONS
from gridtie.report.sql import statements
from gridtie.report.words import words
from unit.ledger.test_view import entries
from unit.report.conftest import QUESTION

ASKED = replace(QUESTION, since=0.0, until=100_000.0, hardware=Hardware(usd=1000.0))


@st.composite
def ledgers(draw: st.DrawFn) -> list[Entry]:
    """Rows of any kind, at any time of a day, as long as an answer may take."""
    rows = draw(st.lists(entries(), min_size=1, max_size=12))
    moments = st.floats(0, 86_400)
    return [
        replace(
            row,
            id=f"r{at}",
            time=draw(moments),
            duration=draw(st.floats(0, 900)),
            waited=draw(st.floats(0, 60)),
            first_token=draw(st.one_of(st.none(), st.floats(0, 300))),
            key=draw(st.sampled_from(["ann", "bob"])),
            tags=draw(st.sampled_from([(), ("a",), ("a", "b")])),
        )
        for at, row in enumerate(rows)
    ]


def reported(rows: list[Entry]) -> dict[str, Any]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    for step in MIGRATIONS:
        connection.executescript(step)
    columns = (*_COLUMNS, *_RARE)
    insert = f"INSERT INTO requests ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    for row in rows:
        sent = sum(tried.locality == "cloud" and tried.outcome != "skipped" for tried in row.tries)
        connection.execute(insert, (*_row(row, sent, 0), *_rare(row)))
    found = figures(read(connection, statements(ASKED)))
    connection.close()
    return found


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(ledgers())
def test_a_report_on_any_rows_holds_together(rows: list[Entry]) -> None:
    found = reported(rows)
    totals, line = found["totals"], found["bottom_line"]

    for name in DIMENSIONS:
        if name != "tag":
            for figure in ("requests", "electricity_usd", "cloud_usd", "baseline_usd", "local_seconds"):
                added = sum(row[figure] or 0 for row in found["by"][name])
                assert added == pytest.approx(totals[figure] or 0, abs=1e-9)
    assert sum(row["requests"] for row in found["confidence"]) == totals["requests"]
    assert totals["requests"] + sum(row["requests"] for row in found["own"]) == len(rows)
    for share in ("requests", "tokens", "usd"):
        assert 0 <= (totals[f"local_share_{share}"] or 0) <= 1
    # Never longer than the answers were, one after the other, nor than there was time.
    local = sum(max(row.duration - row.waited, 0) for row in rows if row.locality == "local" and not row.purpose)
    assert line["busy_seconds"] <= local + 1e-4
    assert totals["electricity_usd"] == pytest.approx(line["electricity_usd"], abs=1e-9)
    if line["net_usd"] is not None:
        spent = line["cloud_usd"] + line["own_usd"] + line["electricity_usd"] + line["amortisation_usd"]
        assert line["net_usd"] == pytest.approx(line["baseline_usd"] - spent, abs=1e-9)
    assert words(ASKED, found)["headline"]
