"""A fleet's bill and its table of speeds as a real browser shows them: on a screen, on a phone and in the dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gridtie.bench import fleet as speeds
from gridtie.report import fleet_told, rows
from gridtie.report.fleet import Missing, bill
from standins import chromium
from standins.ledger import NOON, cloud, local, open_ledger
from unit.bench.test_fleet import host, line
from unit.report.conftest import DAY, QUESTION

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here; Debian's is `chromium`")

# What somebody may be called, or a host may say: it must neither run, nor load anything, nor make the page wider.
EVIL = "<img src=https://elsewhere.example/x><script>document.title='run'</script>" + "w" * 200


def made(directory: Path) -> dict[str, Any]:
    """A bill with something in every part of it."""
    documents = []
    for number, name in enumerate(("alice-laptop", "bob-desktop", "gpu-server")):
        ledger = open_ledger(directory / name)
        for at in range(40):
            when = {"time": NOON - at * DAY / 30, "key": f"person-{at % 4}", "duration": 2.0 + at % 5}
            ledger.record(local(f"{number}-{at}", project=EVIL if at == 3 else "shop", **when))
            ledger.record(cloud(f"{number}-c{at}", environment="production", **when))
        ledger.close()
        documents.append((name, rows.document(QUESTION, ledger.database).encode()))
    missing = [Missing("carol-laptop", f"it cannot be reached: {EVIL}")]
    return {**bill(documents, missing, "2026-11", QUESTION.until + 9 * DAY, QUESTION.until), "closed": None}


def test_a_browser_finds_nothing_wrong_and_nothing_is_asked_of_the_network(tmp_path: Path) -> None:
    slow = host(line(speed=(10.0, 9.0, 11.0), errors={EVIL: 2}), name="bob-desktop")
    told = speeds.table_of([host(line(), line(4)), slow, speeds.Host("carol", why=EVIL)], NOON)
    pages = {"bill": fleet_told.page(made(tmp_path)), "speeds": speeds.page(told)}
    for name, content in pages.items():
        (tmp_path / f"{name}.html").write_text(content)

    with chromium.tab() as tab:
        for name in pages:
            for width, dark in ((1100, False), (1100, True), (360, False)):
                tab.open(tmp_path / f"{name}.html", width=width, dark=dark)

                # Wider than the screen only where a table scrolls by itself.
                assert tab.value("document.documentElement.scrollWidth") <= width, name
                assert tab.value("document.title").startswith("LLM "), name
                assert "carol" in tab.value("document.body.innerText"), name

        assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
        assert tab.complaints == []
