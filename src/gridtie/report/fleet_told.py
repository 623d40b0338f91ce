"""A fleet's bill as text and as one HTML file; as CSV it is what `spreadsheet` makes of any report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gridtie.host.table import table as text_table
from gridtie.page.html import Content, Markup, document, element, listed, section, table
from gridtie.report.page import waterfall_of
from gridtie.report.text import FIGURES_HEAD, figure_rows
from gridtie.report.words import money, percent

Bill = Mapping[str, Any]

_TITLES = {
    "host": "By host",
    "person": "By person or application (the key's name)",
    "project": "By project",
    "environment": "By environment",
    "model": "By model that answered",
    "day": "By day",
    "host, person, project": "By host, person and project",
}
_HOSTS = ("host", "gridtie", "requests", "told until", "electricity", "idle", "amortisation", "in other ledgers")
# Lines of a table that a page can show; the CSV has all of them.
_MOST_LINES = 60


def title(bill: Bill) -> str:
    """Which month, and whether it is final."""
    state = "closed" if bill["closed"] else "not final"
    return f"LLM costs of {bill['month']}, {state}"


def made(bill: Bill) -> str:
    """When it was made and whether that is its last word."""
    if bill["closed"]:
        return f"Closed at {bill['closed']}; this file does not change any more."
    why = "hosts are missing" if bill["over"] else "the month is not over, or has been for less than an hour"
    return f"As of {bill['made']}; not final, since {why}."


def text(bill: Bill) -> str:
    """For a terminal: what a person looks at first."""
    told = bill["words"]
    parts = [
        title(bill),
        *([f"ALARM: {told['alarm']}."] if told["alarm"] else []),
        f"{told['headline']}\n{made(bill)}",
        *(f"{_TITLES[name]}\n{_lines(bill['by'][name])}" for name in ("host", "person", "project") if bill["by"][name]),
        "\n".join(f"- {line}" for line in (*told["missing"], *told["assumed"])),
    ]
    return "\n\n".join(parts) + "\n"


def page(bill: Bill) -> str:
    """A self-contained page: nothing of it comes from elsewhere, and whatever somebody named is escaped."""
    told = bill["words"]
    return document(
        title(bill),
        element("h1", title(bill)),
        element("p", made(bill), class_="soft"),
        element("p", "ALARM: ", told["alarm"], ".", class_="alarm", role="alert") if told["alarm"] else "",
        element("p", told["headline"], class_="lead"),
        section("What is missing", listed(told["missing"]) if told["missing"] else element("p", "Nothing.")),
        _cards(bill),
        section("From list price to net", waterfall_of(bill["bottom_line"])),
        section("Who and what", *_tables(bill)),
        section("The hosts", table(_HOSTS, [_host(each) for each in bill["hosts"]])),
        section("How to read it", listed(told["assumed"])),
    )


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return text_table(FIGURES_HEAD, figure_rows(rows), right=range(1, len(FIGURES_HEAD)))


def _cards(bill: Bill) -> Markup:
    line, totals = bill["bottom_line"], bill["totals"]
    kind = None if line["net_usd"] is None else "good" if line["net_usd"] >= 0 else "bad"
    private = totals["private_cloud"]
    cards = (
        ("net, quality unknown", money(line["net_usd"]), kind),
        ("of the baseline", percent(line["net_share"]), kind),
        ("requests", f"{totals['requests']:,}", None),
        ("local share of dollars", percent(totals["local_share_usd"]), None),
        ("clouds", money(line["cloud_usd"]), None),
        ("private at a cloud", f"{private:,}", "bad" if private else None),
    )
    shown = (
        element("div", element("b", value, class_=tone), element("span", name), class_="card")
        for name, value, tone in cards
    )
    return element("div", *shown, class_="cards")


def _tables(bill: Bill) -> Iterator[Content]:
    for name, heading in _TITLES.items():
        rows = bill["by"][name]
        if not rows:
            continue
        shown = rows if len(rows) <= _MOST_LINES else sorted(rows, key=lambda row: -row["requests"])[:_MOST_LINES]
        yield element("h3", heading)
        yield table(FIGURES_HEAD, figure_rows(shown))
        if len(shown) < len(rows):
            yield element("p", f"{len(rows) - len(shown):,} more are in the CSV.", class_="soft")


def _host(each: Mapping[str, Any]) -> list[str]:
    watts = f"{each['watts']:g} W, {money(each['usd_per_kwh'])}/kWh, {each['electricity']}"
    return [
        each["host"], each["version"], f"{each['requests']:,}", each["until"], watts,
        money(each["idle_usd"]), money(each["amortisation_usd"]), f"{each['in_other_ledgers']:,}",
    ]  # fmt: skip
