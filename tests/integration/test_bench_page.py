"""A benchmark's page as a real browser shows it: on a screen, on a phone and in the dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridtie.bench.page import page
from gridtie.bench.plan import BESIDE, ROUTER
from gridtie.bench.results import Request
from standins import chromium
from unit.bench.test_summary import results, spread

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here; Debian's is `chromium`")

# What a server may say: it must neither run, nor load anything, nor make the page wider.
EVIL = "500: <img src=https://elsewhere.example/x><script>document.title='run'</script>" + "w" * 200


def test_a_browser_finds_nothing_wrong_and_nothing_is_asked_of_the_network(tmp_path: Path) -> None:
    made = results((ROUTER, spread(1)), (BESIDE, spread(2)))
    made.blocks[0].append(Request(block=0, profile="chat", concurrency=2, way=ROUTER, error=EVIL))
    path = tmp_path / "bench.html"
    path.write_text(page(made))

    with chromium.tab() as tab:
        for width, dark in ((1100, False), (1100, True), (360, False)):
            tab.open(path, width=width, dark=dark)

            # Wider than the screen only where a table scrolls by itself.
            assert tab.value("document.documentElement.scrollWidth") <= width
            heights = "[...document.querySelectorAll('svg')].map(plot => plot.getBoundingClientRect().height)"
            assert min(tab.value(heights)) > 60
            assert tab.value("document.title") == "Benchmark of here/m"

        assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
        assert tab.complaints == []
