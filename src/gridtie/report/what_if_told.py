"""What `--what-if` says: as text, and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gridtie.host.table import table as text_table
from gridtie.page.html import Content, document, element, listed, section, table
from gridtie.report.page import waterfall_of
from gridtie.report.text import baseline_rows, break_even
from gridtie.report.words import money, percent

Found = Mapping[str, Any]

HEAD = ("", "baseline", "clouds", "electricity", "amortisation", "net", "net %", "break-even", "hours a day")


def text(found: Found) -> str:
    """For a terminal."""
    parts = [
        f"What if: {traffic(found)}.",
        text_table(HEAD, list(rows(found)), right=range(1, len(HEAD))),
        *(f"{one['candidate']['name']}: {' '.join(_said(one))}" for one in found["candidates"]),
        "\n".join(f"- {line}" for line in _assumed(found)),
    ]
    return "\n\n".join(parts) + "\n"


def page(found: Found) -> str:
    """As one HTML file."""
    return document(
        "LLM costs: what if",
        element("h1", "LLM costs: what if"),
        element("p", traffic(found), ".", class_="soft"),
        section("Candidates", table(HEAD, rows(found)), listed(_assumed(found))),
        *(section(one["candidate"]["name"], *_candidate(one)) for one in found["candidates"]),
    )


def traffic(found: Found) -> str:
    """Whose requests it is about."""
    first = found["candidates"][0]
    if found["traffic"] is None:
        return f"{first['totals']['requests']:,} answered requests of the ledger, {first['words']['period']}"
    told = found["traffic"]
    return (
        f"assumed are {told['requests_per_day']:g} requests a day of {told['input_tokens']:,} tokens in and "
        f"{told['output_tokens']:,} out, over {told['days']} days"
    )


def rows(found: Found) -> Iterator[list[str]]:
    """A line for each candidate, under HEAD."""
    for one in found["candidates"]:
        line = one["bottom_line"]
        days = line["break_even_days"]
        yield [
            one["candidate"]["name"],
            money(line["baseline_usd"]),
            money(line["cloud_usd"]),
            money(line["electricity_usd"] + line["idle_usd"]),
            money(line["amortisation_usd"]),
            money(line["net_usd"]),
            percent(line["net_share"]),
            "-" if line["hardware_usd"] is None else "never" if days is None else f"{days:,.0f} days",
            f"{one['busy_hours_per_day']:.1f}",
        ]


def _said(one: Found) -> Iterator[str]:
    yield one["words"]["headline"]
    yield from break_even(one)
    hours = one["busy_hours_per_day"]
    if hours > 24:
        yield (
            f"Too slow alone: its answers take {hours:.0f} hours a day, one after the other. It must answer several at "
            "once, or more machines are needed, which are not in these figures."
        )
    yield one["words"]["assumed"][0]


def _candidate(one: Found) -> Iterator[Content]:
    yield [element("p", sentence) for sentence in _said(one)]
    yield waterfall_of(one["bottom_line"])
    yield table(("baseline", "same tokens", "spent", "net", "net %"), baseline_rows(one))


def _assumed(found: Found) -> Iterator[str]:
    yield (
        "The figures are of the whole period. Speeds are those of one request alone on the machine; nothing was "
        "measured for this, and answers at the same time share the watts and are no slower."
    )
    yield "The same requests and tokens everywhere: a slower or worse model may be asked less, or more."
    yield f"List prices of {found['price_date']}, in US dollars; rows of a ledger have those of their day."
    yield "Quality unknown: whether a candidate's answers would do is not in it."
    yield "One machine for each candidate. Space, cooling, and the work of those who look after it are not in it."
