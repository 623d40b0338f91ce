"""What the figures of a fleet's bill mean, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gridtie.report.words import billed, money, percent

Bill = Mapping[str, Any]


def words(bill: Bill) -> dict[str, Any]:
    """`headline`, `alarm` ("" where all is well), `missing` (what is not in the figures), and `assumed`."""
    return {
        "headline": " ".join(_headline(bill)),
        "alarm": _alarm(bill),
        "missing": list(_missing(bill)),
        "assumed": list(_assumed(bill)),
    }


def _headline(bill: Bill) -> Iterator[str]:
    line, hosts = bill["bottom_line"], bill["hosts"]
    if not hosts:
        yield "No host told of its requests: there are no figures."
        return
    of = f"{len(hosts)} of {len(hosts) + len(bill['missing'])} hosts"
    if line["net_usd"] is None:
        yield f"Nothing can be compared: {of} told of {bill['totals']['requests']:,} requests, none with known prices."
        return
    share = "" if line["net_share"] is None else f", {percent(abs(line['net_share']))} of the baseline"
    if line["net_usd"] >= 0:
        yield f"Net avoided list price, quality unknown: {money(line['net_usd'])}{share}, of {of}."
    else:
        yield f"Dearer than the baseline, by {money(-line['net_usd'])}{share}, of {of}."
    baselines = sorted({ref for host in hosts for ref in host["baselines"] if ref})
    dates = sorted({date for host in hosts for date in host["price_dates"]})
    spent = [(line["cloud_usd"], "on clouds"), (line["electricity_usd"] + line["idle_usd"], "on electricity")]
    spent += [(line["own_usd"], "on local models with prices"), (line["amortisation_usd"], "of amortisation")]
    told = ", ".join(f"{money(amount)} {what}" for amount, what in spent if amount or what == "on clouds")
    yield (
        f"The same tokens would have cost {money(line['baseline_usd'])} on {', '.join(baselines) or 'no baseline'} at "
        f"the list prices of {', '.join(dates) or 'no known date'}; spent were {told}."
    )


def _alarm(bill: Bill) -> str:
    count = bill["totals"]["private_cloud"]
    if not count:
        return ""
    named = ", ".join(f"{row['id']} of {row['host']}" for row in bill["private_at_a_cloud"][:5])
    return f"{count:,} private requests reached a cloud ({named}): see `gridtie requests ID` on that host"


def _missing(bill: Bill) -> Iterator[str]:
    for each in bill["missing"]:
        yield f"{each['host']} is not in these figures: {each['why']}"
    for row in bill["relayed_for_missing"]:
        yield (
            f"{row['host']} answered {row['requests']:,} requests of {row['asking']}, whose ledger is not here: they "
            "are in no figure"
        )
    totals = bill["totals"]
    if totals["unpriced"]:
        yield (
            f"{totals['unpriced']:,} requests have no known price: they are in no comparison; what is known of their "
            f"cost is {money(totals['uncompared_usd'])}, which is in the tables' clouds and not in the first sentence"
        )
    if totals["estimated"]:
        yield f"{totals['estimated']:,} requests rest on estimated tokens"
    if totals["over_reserved"]:
        yield f"{totals['over_reserved']:,} answers were billed above what was reserved for them"
    if lost := totals["cloud_attempts_lost"]:
        yield f"{lost:,} attempts at a cloud gave no answer; whether they were billed is unknown"
    if bill["unfinished"]:
        yield (
            f"{bill['unfinished']:,} attempts at a cloud were cut off by a router's end; up to "
            f"{money(bill['unfinished_usd'])} may have been billed"
        )


def _assumed(bill: Bill) -> Iterator[str]:
    of_machine = {host["host"]: (host["idle_usd"] or 0.0) + (host["amortisation_usd"] or 0.0) for host in bill["hosts"]}
    for row in bill["twice"]:
        machine = of_machine[row["host"]]
        too_much = (
            f". If it is one machine, idle electricity and amortisation are {money(machine)} too high: it has them "
            "under both names"
            if machine
            else ""
        )
        yield (
            f"{row['requests']:,} requests lie in the ledgers of {row['kept_of']} and {row['host']} (one is a copy of "
            f"the other, or one machine has two names): each is counted once, at {row['kept_of']}{too_much}"
        )
    yield (
        "A request that one host passed on to another is counted where it was asked, and so is its electricity, by the "
        "watts that are set there: too little where the machine that answers draws more. What several hosts asked of "
        "one machine at the same time is shared among them: its watts are in the bill once."
    )
    yield (
        "Net in the tables is before idle electricity and amortisation, which nobody's requests cause; the bottom line "
        "has both. Days and the month are those of the clock where this was made; by it the month ends at "
        f"{bill['ends']}."
    )
    guessed = [host["host"] for host in bill["hosts"] if host["electricity"] == "assumed"]
    if guessed:
        yield f"Electricity is assumed on {', '.join(guessed)}, since costs.electricity is not set there."
    own = sum(row["requests"] for row in bill["own"])
    if own:
        yield f"The tools' own traffic is in no figure: {own:,} requests{billed(bill['own'])}."
    yield "Quality is not in these figures: whether the local answers were as good is not in a ledger."
