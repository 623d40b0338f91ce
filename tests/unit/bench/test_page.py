"""The page of a benchmark: it stands alone, shows what was measured, and escapes what it did not write itself."""

from __future__ import annotations

from html.parser import HTMLParser

from gridtie.bench.expect import judge, parse
from gridtie.bench.lines import Stopped
from gridtie.bench.page import comparison, page
from gridtie.bench.plan import BESIDE, ROUTER
from gridtie.bench.results import Request
from gridtie.bench.summary import compared, summaries
from unit.bench.test_summary import answer, results, spread


class Elements(HTMLParser):
    """Names of all elements, and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def test_it_loads_nothing_and_runs_nothing() -> None:
    found = Elements(page(results((ROUTER, spread(1)), (BESIDE, spread(2)))))

    assert not found.named("script")
    assert not found.named("img")
    assert {each["href"] for each in found.named("link")} == {"data:,"}


def test_each_row_has_a_dot_in_each_plot() -> None:
    found = Elements(page(results((ROUTER, spread(1)), (BESIDE, spread(2)))))

    assert len(found.named("svg")) == 3
    assert [each["class"] for each in found.named("circle")] == ["fill-local", "fill-other"] * 3


def test_it_tells_what_the_text_tells() -> None:
    made = results((ROUTER, spread(1, 1.5)), (BESIDE, spread(2)))
    told = page(made, judge([parse("first-token < 1 ms"), parse("errors < 1 %")], summaries(made)))

    assert "What the router adds" in told
    assert "slower" in told
    assert "missed  first-token" in told
    assert "held    errors" in told


def test_what_a_server_said_is_text_and_nothing_else() -> None:
    made = results((ROUTER, [answer()]))
    made.blocks[0].append(
        Request(block=0, profile="chat", concurrency=2, way=ROUTER, error="500: <script>alert(1)</script>")
    )
    made.add(Stopped(why="<b>gone</b>"))
    told = page(made)

    assert "<script>" not in told
    assert "&lt;script&gt;" in told
    assert "&lt;b&gt;gone" in told


def test_a_run_without_an_answer_has_a_page_too() -> None:
    assert "Nothing was measured" in page(results())


def test_a_comparison_names_both_runs_and_every_verdict() -> None:
    before, after = results((ROUTER, spread(1))), results((ROUTER, spread(3, 1.4)))
    told = comparison(before, after, compared(before, after))

    assert "B against A" in told
    assert 'class="bad">slower' in told
