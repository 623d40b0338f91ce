"""The cost report as a real browser shows it: on a screen, on a phone, in the dark and on paper."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from gridtie.cli import main
from standins import chromium
from standins.ledger import NOON, cloud, local, open_ledger, refused

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason="there is no Chromium here; Debian's is `chromium`")

CONFIG = Path(__file__).parents[2] / "config"
# What a client may name itself: it must neither run, nor load anything, nor make the page wider.
EVIL = "<img src=https://elsewhere.example/x><script>document.title='run'</script>" + "w" * 200
DAY = 86_400.0


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with something in every part of it."""
    place = tmp_path_factory.mktemp("report")
    ledger = open_ledger(place)
    for at in range(60):
        when = {"time": NOON - at * DAY / 2, "key": f"person-{at % 7}", "duration": 2.0 + at % 5}
        ledger.record(local(f"l{at}", tags=("shop",), agent=EVIL if at == 3 else "coder", **when))
        ledger.record(cloud(f"c{at}", environment="production", rule="production", **when))
    ledger.record(refused("r", private=True, code="private_needs_local"))
    ledger.record(cloud("unpriced", cost_usd=None, target="openai/a-new-model-with-a-very-long-name-2026-11-22"))
    ledger.record(local("own", purpose="demo"))
    ledger.close()
    config = place / "config"
    config.mkdir()
    routing = (CONFIG / "llm_routing.yaml").read_text().rstrip()
    (config / "llm_routing.yaml").write_text(f"{routing}\n  hardware: {{usd: 900, years: 4}}\n")
    (config / "prices.json").write_bytes((CONFIG / "prices.json").read_bytes())
    words = [
        "--ledger",
        str(ledger.database),
        "--config",
        str(config),
        "--since",
        "2026-10-20",
        "--until",
        "2026-11-24",
    ]

    assert main(["report", *words, "--html", "--out", str(place / "report.html")]) == 0
    return place / "report.html"


@pytest.fixture
def tab() -> Iterator[chromium.Tab]:
    with chromium.tab() as opened:
        yield opened


def tall(png: bytes) -> int:
    (height,) = struct.unpack(">I", png[20:24])
    return int(height)


def test_a_browser_finds_nothing_wrong_and_nothing_is_asked_of_the_network(page: Path, tab: chromium.Tab) -> None:
    for width, dark in ((1100, False), (1100, True), (360, False)):
        tab.open(page, width=width, dark=dark)

        # Wider than the screen only where a table scrolls by itself.
        assert tab.value("document.documentElement.scrollWidth") <= width
        assert tab.value("document.querySelectorAll('svg').length") >= 4
        heights = "[...document.querySelectorAll('svg')].map(plot => plot.getBoundingClientRect().height)"
        assert min(tab.value(heights)) > 60
        assert tab.value("document.title").startswith("LLM cost report")
        assert "net, quality unknown" in tab.value("document.body.innerText")
        assert tall(tab.screenshot()) > 3000

    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.complaints == []


def test_text_is_told_from_its_ground_in_light_and_in_the_dark(page: Path, tab: chromium.Tab) -> None:
    """Contrast as WCAG counts it: 4.5 for text, 3 for what a plot is drawn with."""
    grounds = set()
    for dark in (False, True):
        tab.open(page, dark=dark)
        found = tab.contrast()
        grounds.add(tab.value("getComputedStyle(document.body).backgroundColor"))

        assert found["text"] >= 4.5
        assert found["labels"] >= 4.5
        assert found["marks"] >= 3
    assert len(grounds) == 2


def test_it_prints_on_paper(page: Path, tab: chromium.Tab) -> None:
    tab.open(page, dark=True)

    printed = tab.printed()

    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") <= 12
