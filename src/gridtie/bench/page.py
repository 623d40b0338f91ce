"""Results as one HTML file that stands alone: readable on a phone, in the dark and on paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gridtie.bench import text
from gridtie.bench.expect import Outcome
from gridtie.bench.plan import ROUTER
from gridtie.bench.results import Results
from gridtie.bench.summary import BY_NAME, Summary, router_share, summaries, unfinished
from gridtie.bench.verdict import Finding
from gridtie.page.html import Content, Markup, document, element, listed, section, table
from gridtie.page.svg import Range, ranges

# What has a plot of its own.
_PLOTTED = (
    ("first-token", "Time to the first token"),
    ("between-tokens", "Time from token to token"),
    ("end-to-end", "Whole answers"),
)
_READING = (
    "The dot is the median, the bar its 95 % interval, the upright tick the 95th percentile. "
    "Blue is through the router, grey past it."
)


def page(results: Results, outcomes: Sequence[Outcome] = ()) -> str:
    """Everything that was measured."""
    measured = summaries(results)
    run = results.run
    why = unfinished(results)
    return document(
        f"Benchmark of {run.target}",
        element("h1", f"Benchmark of {run.target}"),
        _head(results),
        element("p", f"Not finished: {why}", class_="alarm", role="alert") if why else "",
        _targets(outcomes),
        section(
            "Figures",
            element("p", "Medians and 95th percentiles, with 95 % intervals.", class_="soft"),
            _table(measured),
        ),
        *_plots(measured),
        _findings(text.SHARE, router_share(results)),
        section("Notes", listed(_remarks(results, measured))),
    )


def comparison(before: Results, after: Results, found: Sequence[Finding]) -> str:
    """What is to be said of two runs."""
    return document(
        "Two benchmarks compared",
        element("h1", "Two benchmarks compared"),
        section("A", _head(before)),
        section("B", _head(after)),
        _findings("B against A", found),
    )


def _head(results: Results) -> Markup:
    return element("p", [[line, element("br")] for line in text.head(results).splitlines()], class_="soft")


def _targets(outcomes: Sequence[Outcome]) -> Content:
    if not outcomes:
        return ""
    lines = [element("span", text.told(each), class_="good" if each.held else "bad") for each in outcomes]
    return section("Targets", listed(lines))


def _table(measured: Sequence[Summary]) -> Content:
    return (
        table(text.COLUMNS, [text.cells(each) for each in measured])
        if measured
        else element("p", "Nothing was measured.")
    )


def _plots(measured: Sequence[Summary]) -> Iterator[Content]:
    for name, title in _PLOTTED:
        found = [(each, each.spreads[name]) for each in measured if name in each.spreads]
        if found:
            drawn = [
                Range(
                    label=str(each.row),
                    middle=spread.middle.value,
                    low=spread.middle.low,
                    high=spread.middle.high,
                    tail=spread.tail.value,
                    fill="local" if each.row.way == ROUTER else "other",
                    told=f"{text.seconds(spread.middle.value)}, p95 {text.seconds(spread.tail.value)}",
                )
                for each, spread in found
            ]
            yield section(
                title,
                element("p", _READING, class_="soft"),
                ranges(f"{title} ({BY_NAME[name].unit})", drawn, text.seconds),
            )


def _findings(title: str, found: Sequence[Finding]) -> Content:
    if not found:
        return ""
    rows = [(each.row, each.measure, element("b", each.word, class_=_TONE.get(each.word)), each.text) for each in found]
    return section(title, table(("row", "measure", "verdict", "difference of medians, 95 % interval"), rows, left=4))


_TONE = {"slower": "bad", "faster": "good"}


def _remarks(results: Results, measured: Sequence[Summary]) -> Iterator[Content]:
    for paragraph in text.paragraphs(results, measured):
        first, *rest = paragraph.splitlines()
        yield [first, listed(line.strip() for line in rest)] if rest else first
