"""The report as one HTML file, for people who did not ask for it at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gridtie.page.html import Content, Markup, document, element, listed, section, table
from gridtie.page.svg import Bar, Step, columns, course, shares, waterfall
from gridtie.report.text import (
    FIGURES_HEAD,
    LATENCY_HEAD,
    SOLVED_HEAD,
    baseline_rows,
    break_even,
    figure_rows,
    latency_rows,
    solved_rate,
    solved_remarks,
    solved_rows,
)
from gridtie.report.words import money, percent, quality, quality_known

Report = Mapping[str, Any]

# Lines of a table that a page can show; the CSV has all of them.
_MOST_LINES = 40
# Beyond it a plot over time goes by months.
_MOST_DAYS = 92
# Of a column over time: what it is called, its fill, its figure.
_PARTS = (
    ("clouds", "cloud", "cloud_usd"),
    ("electricity", "power", "electricity_usd"),
    ("local with prices", "other", "own_usd"),
)
_NAMES = {
    "environment": "environment",
    "key": "key (person or application)",
    "agent": "agent",
    "project": "project",
    "tag": "tag",
    "model": "model that answered",
    "rule": "routing rule",
    "month": "month",
    "day": "day",
}


def page(report: Report) -> str:
    """A self-contained page: nothing of it comes from elsewhere, and whatever a client named is escaped."""
    told = report["words"]
    return document(
        f"LLM cost report, {told['period']}",
        element("h1", "LLM cost report"),
        element("p", told["period"], class_="soft"),
        element("p", told["traffic"], ".", class_="soft"),
        element("p", "ALARM: ", told["alarm"], ".", class_="alarm", role="alert") if told["alarm"] else "",
        element("p", told["headline"], class_="lead"),
        _cards(report),
        section("From list price to net", waterfall_of(report["bottom_line"]), listed(told["assumed"])),
        section("How much stays local", _local(report)),
        section("Over time", *_over_time(report)),
        section(
            "Against other baselines",
            element("p", "What the same requests would have cost elsewhere, at the same tokens.", class_="soft"),
            table(("baseline", "same tokens", "spent", "net", "net %"), baseline_rows(report)),
        ),
        section("Who and what", *_tables(report)),
        section("Fallbacks and refusals", *_trouble(report)),
        section(
            "Speed",
            element("p", "Seconds, of whole answers; from the request's arrival.", class_="soft"),
            table(LATENCY_HEAD, latency_rows(report)),
        ),
        section("Quality", *_quality(report)),
        *_solved(report),
        section("How sure the figures are", *_sureness(report), listed(told["missing"])),
        section("Every figure again", *_again(report)),
    )


def _cards(report: Report) -> Markup:
    line, totals = report["bottom_line"], report["totals"]
    net = line["net_usd"]
    spent = report["baselines"][0]["spent_usd"]
    kind = None if net is None else "good" if net >= 0 else "bad"
    cards = (
        (f"net{quality_known(report)}", money(net), kind),
        ("of the baseline", percent(line["net_share"]), kind),
        ("baseline, same tokens", money(line["baseline_usd"]), None),
        ("spent", money(spent), None),
        ("local share of dollars", percent(totals["local_share_usd"]), None),
        ("private at a cloud", f"{totals['private_cloud']:,}", "bad" if totals["private_cloud"] else None),
    )
    return element(
        "div",
        *(
            element("div", element("b", value, class_=kind), element("span", name), class_="card")
            for name, value, kind in cards
        ),
        class_="cards",
    )


def waterfall_of(line: Mapping[str, Any]) -> Markup:
    """From the baseline down to what is left."""
    if line["net_usd"] is None:
        return element("p", "No price is known for anything in this period.")
    steps = [Step("same tokens on the named baseline", line["baseline_usd"], "local", stands=True)]
    costs = (
        ("clouds", "cloud_usd", "cloud"),
        ("local models with prices of their own", "own_usd", "other"),
        ("electricity", "electricity_usd", "power"),
        ("electricity while idle", "idle_usd", "power"),
        ("amortisation of the hardware", "amortisation_usd", "other"),
    )
    steps += [Step(f"less {label}", -line[name], fill) for label, name, fill in costs if line[name]]
    net = line["net_usd"]
    steps.append(Step("net", net, "good" if net >= 0 else "bad", stands=True))
    return waterfall("From the baseline's list price to what is left", steps, money)


def _local(report: Report) -> Iterator[Content]:
    totals = report["totals"]
    rows = (("of the baseline's dollars", "usd"), ("of answers", "requests"), ("of tokens", "tokens"))
    told = [(label, totals[f"local_share_{name}"]) for label, name in rows]
    yield shares("Local share", [(label, share or 0.0, percent(share)) for label, share in told])
    private, cloud = totals["private_requests"], totals["private_cloud"]
    yield element("p", f"Private requests: {private:,}, of which at a cloud: {cloud:,}.")


def _over_time(report: Report) -> Iterator[Content]:
    by_day = report["by"]["day"]
    rows = by_day if len(by_day) <= _MOST_DAYS else report["by"]["month"]
    if not rows:
        return
    parts = [(label, fill, name) for label, fill, name in _PARTS if any(row[name] for row in rows)]
    bars = [Bar(row["group"], [row[name] or 0.0 for _, _, name in parts], row["baseline_usd"]) for row in rows]
    yield element("h3", "Spent, beside what the same tokens would have cost")
    legend = [(label, fill) for label, fill, _ in parts]
    yield columns("Spent, and what the baseline would have cost", bars, legend, "same tokens on the baseline", _short)
    at, points = 0.0, []
    for row in rows:
        at += row["net_usd"] or 0.0
        points.append((row["group"], at))
    line = report["bottom_line"]
    limit = None if line["hardware_usd"] is None else (f"hardware {money(line['hardware_usd'])}", line["hardware_usd"])
    yield element("h3", "Net so far, before idle electricity and amortisation")
    yield course("Net so far, without idle electricity and amortisation", points, limit, "net so far", _short)
    yield [element("p", sentence) for sentence in break_even(report)]


def _tables(report: Report) -> Iterator[Content]:
    yield element(
        "p", "Net in these tables is before idle electricity and amortisation, which nobody's requests cause."
    )
    for name, title in _NAMES.items():
        rows = report["by"][name]
        if not rows:
            continue
        shown = rows if len(rows) <= _MOST_LINES else sorted(rows, key=lambda row: -row["requests"])[:_MOST_LINES]
        yield element("h3", title)
        yield table(FIGURES_HEAD, figure_rows(shown))
        if len(shown) < len(rows):
            yield element("p", f"{len(rows) - len(shown):,} more are in the CSV.", class_="soft")
        if name == "tag":
            yield element("p", "A request with several tags is in several lines.", class_="soft")


def _trouble(report: Report) -> Iterator[Content]:
    if not report["fallbacks"] and not report["unanswered"]:
        yield element("p", "None.")
    if report["fallbacks"]:
        yield element("h3", "Answered by something else than what it was meant for")
        yield table(
            ("meant for", "reason", "answered by", "requests", "clouds"),
            [
                (row["meant_for"], row["reason"], row["answered_by"], f"{row['requests']:,}", money(row["cloud_usd"]))
                for row in report["fallbacks"]
            ],
            left=3,
        )
    if report["unanswered"]:
        names = ("refused", "failed", "interrupted", "cancelled")
        yield element("h3", "Not answered, or not to the end")
        yield table(
            ("reason", *names),
            [(row["reason"], *(f"{row[name]:,}" for name in names)) for row in report["unanswered"]],
        )


def _quality(report: Report) -> Iterator[Content]:
    targets = report["quality"]["targets"]
    if not targets:
        yield element("p", "Unknown: no result of ", element("code", "gridtie quality"), " was given to this report.")
        return
    yield [element("p", sentence) for sentence in quality(report)]
    categories = list(dict.fromkeys(line["category"] for target in targets for line in target["categories"]))
    rows = []
    for category in categories:
        found = [[line for line in target["categories"] if line["category"] == category] for target in targets]
        rows.append([category, *(solved_rate(lines[0]) if lines else "-" for lines in found)])
    yield element("p", "Tasks that were solved, and the 95 % interval of the share.", class_="soft")
    yield table(("category", *(target["target"] for target in targets)), rows)
    for target in targets:
        engine = " ".join(part for part in (target["engine"], target["engine_version"]) if part)
        named = [target["target"], target["locality"], engine, target["digest"][:19], target["started"]]
        yield element("p", ", ".join(part for part in named if part), class_="soft")


def _solved(report: Report) -> Iterator[Markup]:
    if report["quality"]["solved"]:
        remarks = [element("p", line, class_="soft") for line in solved_remarks(report)]
        yield section("Cost per solved task", *remarks, table(SOLVED_HEAD, solved_rows(report), left=4))


def _sureness(report: Report) -> Iterator[Content]:
    yield table(
        ("money is", "requests", "clouds", "baseline"),
        [
            (row["confidence"], f"{row['requests']:,}", money(row["cloud_usd"]), money(row["baseline_usd"]))
            for row in report["confidence"]
        ],
    )
    dates = ", ".join(sorted({row["price_date"] for row in report["named"]} - {""})) or "no known date"
    yield element(
        "p",
        f"Currency: {report['currency']}. List prices of {dates}; those of other baselines of "
        f"{report['question']['price_date']}.",
    )
    if report["unpriced"]:
        yield element("h3", "Without a price")
        yield table(
            ("answered by", "baseline", "requests", "tokens"),
            [
                (row["model"], row["baseline"], f"{row['requests']:,}", f"{row['tokens']:,}")
                for row in report["unpriced"]
            ],
            left=2,
        )


def _again(report: Report) -> Iterator[Content]:
    yield element(
        "p",
        "Every figure is the result of SQL over the ledger's file. Save the report with ",
        element("code", "gridtie report --json report.json"),
        ", and have it computed again with ",
        element("code", "gridtie report --recompute report.json"),
        ".",
    )
    sql = "\n\n".join(f"-- {name}\n{text};" for name, text in report["sql"].items())
    yield element("details", element("summary", "The SQL"), element("pre", sql))


def _short(amount: float) -> str:
    """Of an axis."""
    sign, size = "-" if amount < 0 else "", abs(amount)
    if size == 0:
        return "$0"
    return f"{sign}${size:,.0f}" if size >= 10 else f"{sign}${size:.2g}"
