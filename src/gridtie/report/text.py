"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gridtie.host.table import table
from gridtie.report.words import duration, estimate, money, percent

Report = Mapping[str, Any]


def text(report: Report, by: Sequence[str]) -> str:
    """The page; `by` names the tables that are in it."""
    told = report["words"]
    parts = [
        *([f"ALARM: {told['alarm']}."] if told["alarm"] else []),
        told["headline"],
        f"Period: {told['period']}.\nTraffic: {told['traffic']}.",
        "\n".join((*_bottom_line(report["bottom_line"]), *break_even(report))),
        "\n".join(_shares(report)),
        *(f"By {name}\n{_lines(report['by'][name])}" for name in by if report["by"][name]),
        "Against other baselines\n" + _baselines(report),
        "How sure the money is\n" + _confidence(report),
        *_fallbacks(report),
        *_unanswered(report),
        *_latency(report),
        *_solved(report),
        "\n".join(f"- {line}" for line in (*told["assumed"], *told["missing"])),
    ]
    return "\n\n".join(parts) + "\n"


def _bottom_line(line: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        ("same tokens on the named baseline", line["baseline_usd"]),
        ("- clouds", line["cloud_usd"]),
        *([("- local models with prices", line["own_usd"])] if line["own_usd"] else []),
        ("- electricity", line["electricity_usd"]),
        *([("- electricity while idle", line["idle_usd"])] if line["idle_usd"] else []),
        *([("- amortisation", line["amortisation_usd"])] if line["hardware_usd"] else []),
        ("= net", line["net_usd"]),
    ]
    told = [[name, money(amount)] for name, amount in rows]
    told[-1].append(percent(line["net_share"]))
    yield from table(("", "US dollars", ""), [[*row, ""][:3] for row in told], right=(1, 2)).splitlines()


def break_even(report: Report) -> Iterator[str]:
    """When the hardware has paid for itself, at the rate of the period."""
    line = report["bottom_line"]
    if line["hardware_usd"] is None:
        return
    price, rate = money(line["hardware_usd"]), money(line["earned_usd_per_day"])
    if line["break_even_days"] is None:
        yield f"Break-even: never at this rate. Local answers avoid {rate} a day after electricity; hardware {price}."
        return
    days, years = line["break_even_days"], line["hardware_years"]
    late = f", later than it is written off ({years:g} years)" if days > years * 365 else ""
    yield (
        f"Break-even: after {days:,.0f} days at this rate{late}. Local answers avoid {rate} a day after electricity; "
        f"hardware {price}."
    )


def _shares(report: Report) -> Iterator[str]:
    totals = report["totals"]
    yield (
        f"Local share: {percent(totals['local_share_usd'])} of the baseline's dollars, "
        f"{percent(totals['local_share_requests'])} of answers, {percent(totals['local_share_tokens'])} of tokens."
    )
    yield f"Cached: {percent(totals['cached_share_tokens'])} of the prompts' tokens were not read again."
    private, cloud = totals["private_requests"], totals["private_cloud"]
    yield f"Private requests: {private:,}, of which at a cloud: {cloud:,}."


FIGURES_HEAD = (
    *("", "requests", "local", "cloud", "tokens in", "tokens out"),
    *("baseline", "clouds", "electricity", "net", "net %"),
)


def figure_rows(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A line for each group of a dimension; prices of local models are with the electricity whose place they take."""
    return [
        [
            row["group"] or "(none)",
            *(f"{row[name]:,}" for name in ("requests", "local_requests", "cloud_requests")),
            *(f"{row[name]:,}" for name in ("input_tokens", "output_tokens")),
            money(row["baseline_usd"]),
            money(row["cloud_usd"]),
            money(row["electricity_usd"] + row["own_usd"]),
            money(row["net_usd"]),
            percent(row["net_share"]),
        ]
        for row in rows
    ]


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return table(FIGURES_HEAD, figure_rows(rows), right=range(1, len(FIGURES_HEAD)))


def baseline_rows(report: Report) -> list[list[str]]:
    """A line for the named baseline and for each other."""
    return [
        [
            row["ref"] or "as named in each request",
            *(money(row[name]) for name in ("baseline_usd", "spent_usd", "net_usd")),
            percent(row["net_share"]),
        ]
        for row in report["baselines"]
    ]


def _baselines(report: Report) -> str:
    return table(("", "same tokens", "spent", "net", "net %"), baseline_rows(report), right=range(1, 5))


def _confidence(report: Report) -> str:
    rows = [
        [row["confidence"], f"{row['requests']:,}", money(row["cloud_usd"]), money(row["baseline_usd"])]
        for row in report["confidence"]
    ]
    return table(("", "requests", "clouds", "baseline"), rows, right=range(1, 4))


def _fallbacks(report: Report) -> Iterator[str]:
    if report["fallbacks"]:
        rows = [
            [row["meant_for"], row["reason"], row["answered_by"], f"{row['requests']:,}", money(row["cloud_usd"])]
            for row in report["fallbacks"]
        ]
        yield "Fallbacks\n" + table(("meant for", "reason", "answered by", "requests", "clouds"), rows, right=(3, 4))


def _unanswered(report: Report) -> Iterator[str]:
    names = ("refused", "failed", "interrupted", "cancelled")
    if report["unanswered"]:
        rows = [[row["reason"], *(f"{row[name]:,}" for name in names)] for row in report["unanswered"]]
        yield "Not answered\n" + table(("reason", *names), rows, right=range(1, 5))


def _latency(report: Report) -> Iterator[str]:
    if report["latency_by_model"]:
        yield "Seconds\n" + table(LATENCY_HEAD, latency_rows(report), right=range(1, len(LATENCY_HEAD)))


LATENCY_HEAD = ("", "answers", "first token p50", "p95", "whole answer p50", "p95", "tokens/s")


def latency_rows(report: Report) -> list[list[str]]:
    """A line for local, for cloud and for each model."""
    return [
        [
            row["group"],
            f"{row['answers']:,}",
            *(f"{row[name]:.2f}" for name in ("first_token_p50", "first_token_p95", "duration_p50", "duration_p95")),
            "" if row["output_tokens_per_second"] is None else f"{row['output_tokens_per_second']:.1f}",
        ]
        for row in (*report["latency_by_place"], *report["latency_by_model"])
    ]


def _solved(report: Report) -> Iterator[str]:
    if report["quality"]["solved"]:
        rows = table(SOLVED_HEAD, solved_rows(report), right=(4, 5))
        yield "\n".join(["Cost per solved task", rows, "", *solved_remarks(report)])


SOLVED_HEAD = ("", "", "target", "solved", "money a solved task", "time a solved task")


def solved_rows(report: Report) -> list[list[str]]:
    """A line for each category of tasks, and for each agent of the demo, and target."""
    lines = report["quality"]["solved"]
    order = list(dict.fromkeys((line["of"], line["group"]) for line in lines))
    return [
        [
            line["of"],
            line["group"],
            f"{line['target']}, a stand-in" if line["standin"] else line["target"],
            solved_rate(line["rate"]),
            *(
                estimate(line[name], shown) if line[name] else "unknown" if line["rate"]["passed"] else "none solved"
                for name, shown in (("usd", money), ("seconds", duration))
            ),
        ]
        for line in sorted(lines, key=lambda line: order.index((line["of"], line["group"])))
    ]


def solved_rate(rate: Mapping[str, Any]) -> str:
    """So many of so many."""
    return f"{rate['passed']} of {rate['total']} ({rate['low']:.0%} to {rate['high']:.0%})"


def solved_remarks(report: Report) -> list[str]:
    """What is in these figures, and what they are not."""
    lines = report["quality"]["solved"]
    counted = ", or ".join(dict.fromkeys(line["counted"] for line in lines))
    told = [
        "All tries of all tasks, failed ones included, by the number of the solved; 95 % intervals. Local answers "
        f"count by electricity ({counted}) or prices of their own; idle hours and the hardware are in none of it."
    ]
    if any(line["standin"] for line in lines):
        told.append("A stand-in is a program that has the answers: it proves that everything works, and no quality.")
    return told
