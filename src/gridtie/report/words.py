"""What the figures mean, in plain sentences: what is left, whether local was dearer, what is assumed or missing."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gridtie.ledger.zone import Zone
from gridtie.report.question import Power, Question

Figures = Mapping[str, Any]


def words(question: Question, figures: Figures) -> dict[str, Any]:
    """The sentences of a report: `headline`, `alarm` ("" where all is well), `assumed` and `missing`."""
    return {
        "headline": " ".join(_headline(question, figures)),
        "period": _period(question, figures),
        "traffic": _traffic(question, figures),
        "alarm": _alarm(figures),
        "assumed": list(_assumed(question, figures)),
        "missing": list(_missing(question.power, figures)),
    }


def money(amount: float | None) -> str:
    """US dollars: cents, and below a dollar more places, so that a single answer is not nothing."""
    if amount is None:
        return "unknown"
    sign, size = "-" if amount < 0 else "", abs(amount)
    places = 2 if size >= 1 or not size else 4 if size >= 0.01 else 6
    return f"{sign}${size:,.{places}f}"


def duration(seconds: float) -> str:
    """A time as people read it."""
    return f"{seconds * 1e3:.3g} ms" if 0 < seconds < 1 else f"{seconds:.3g} s"


def estimate(found: Mapping[str, Any], shown: Callable[[float], str]) -> str:
    """A figure with the ends of its interval; an open one is said to be open."""
    value, low, high = (None if found[name] is None else shown(found[name]) for name in ("value", "low", "high"))
    if low is None and high is None:
        return str(value)
    return f"{value} ({low} to {high})" if high is not None else f"{value} ({low} or more)"


def percent(share: float | None) -> str:
    """A share, signed where it is below zero."""
    return "unknown" if share is None else f"{share:.1%}"


def clock(moment: float, zone: Zone) -> str:
    """A Unix time as a clock in the zone shows it, with what it differs from UTC."""
    offset = datetime.timezone(datetime.timedelta(seconds=zone.offset(moment)))
    return datetime.datetime.fromtimestamp(moment, offset).isoformat(sep=" ", timespec="minutes")


def day(moment: float, zone: Zone) -> str:
    """The day of a Unix time in the zone."""
    return clock(moment, zone)[:10]


def _headline(question: Question, figures: Figures) -> Iterator[str]:
    line = figures["bottom_line"]
    net, baseline = line["net_usd"], line["baseline_usd"]
    if not figures["totals"]["requests"]:
        yield "No request of a user was metered in this period; the tool's own traffic is in no figure."
        return
    if net is None:
        yield "Nothing can be compared: no request of this period has a known price and a known baseline."
        return
    share = "" if line["net_share"] is None else f", {abs(line['net_share']):.1%} of the baseline"
    priced = [row for row in figures["named"] if row["baseline_usd"] is not None]
    named = ", ".join(sorted({row["baseline"] for row in priced})) or "no baseline"
    dates = ", ".join(sorted({row["price_date"] for row in priced} - {""})) or "no known date"
    if net >= 0:
        yield f"Net avoided list price{quality_known(figures)}: {money(net)}{share}."
    else:
        yield f"Dearer than the baseline, by {money(-net)}{share}."
    yield (
        f"The same tokens would have cost {money(baseline)} on {named} at the list prices of {dates}; "
        f"{_spent(question, line)}."
    )
    if line["local_net_usd"] < 0:
        with_it = ", amortisation included" if question.hardware else ""
        yield f"Local was dearer than the same tokens on the baseline, by {money(-line['local_net_usd'])}{with_it}."
    below = [
        row["ref"] for row in figures["baselines"] if row["ref"] and row["net_usd"] is not None and row["net_usd"] < 0
    ]
    if below and net >= 0:
        yield f"Against {' and '.join(below)} it would have been dearer."
    yield from quality(figures)


def quality_known(figures: Figures) -> str:
    """What stands beside the net: whether the models that answered here were tried; "" where all of them were."""
    tried = {target["target"] for target in _targets(figures)}
    answered = {row["group"] for row in figures["by"]["model"] if row["local_requests"]}
    if tried and answered <= tried:
        return ""
    return ", quality known in part" if answered & tried else ", quality unknown"


def quality(figures: Figures) -> Iterator[str]:
    """How good the answers are on tasks that can be checked; nothing where nobody tried."""
    pair = figures.get("quality", {}).get("pair")
    if pair:
        yield (
            f"Quality: of {pair['tasks']} tasks that both were given, {pair['local']} solved {pair['local_solved']} "
            f"({pair['only_local']} of them alone) and {pair['cloud']} {pair['cloud_solved']} ({pair['only_cloud']})."
        )
        return
    for target in _targets(figures):
        rate = next(line for line in target["categories"] if line["category"] == "all")
        yield (
            f"Quality: {target['target']} solved {rate['passed']} of {rate['total']} tasks "
            f"({rate['low']:.0%} to {rate['high']:.0%}); nothing was compared with it."
        )


def _targets(figures: Figures) -> Sequence[Mapping[str, Any]]:
    targets: Sequence[Mapping[str, Any]] = figures.get("quality", {}).get("targets", ())
    return targets


def _spent(question: Question, line: Mapping[str, Any]) -> str:
    parts = [f"spent were {money(line['cloud_usd'])} on clouds"]
    if line["own_usd"]:
        parts.append(f"{money(line['own_usd'])} on local models with prices of their own")
    parts.append(f"{money(line['electricity_usd'] + line['idle_usd'])} on electricity ({question.power.status})")
    if question.hardware:
        parts.append(f"{money(line['amortisation_usd'])} on the hardware's amortisation")
    return " and ".join((", ".join(parts[:-1]), parts[-1]))


def _period(question: Question, figures: Figures) -> str:
    since = max(question.since, figures["bottom_line"]["since"])
    return f"{clock(since, question.zone)} to {clock(question.until, question.zone)}"


def _traffic(question: Question, figures: Figures) -> str:
    """Whose requests the figures are of, so that a share is read for what it is."""
    by = figures["by"]
    narrowed = [f"{column} {' or '.join(values)}" for column, values in question.only.items()]
    ran = ", ".join(f"{row['group'] or '(no rule)'} ({row['requests']:,})" for row in by["rule"][:8])
    more = f" and {len(by['rule']) - 8} more" if len(by["rule"]) > 8 else ""
    environments = ", ".join(row["group"] for row in by["environment"])
    count = figures["totals"]["requests"]
    return (
        f"{count:,} request{'' if count == 1 else 's'} of users"
        + (f" with {', '.join(narrowed)}" if narrowed else "")
        + f"; environments: {environments or 'none'}; by rule: {ran or 'none'}{more}"
    )


def _alarm(figures: Figures) -> str:
    count = figures["totals"]["private_cloud"]
    if not count:
        return ""
    ids = ", ".join(row["id"] for row in figures["private_at_a_cloud"][:5])
    return (
        f"{count:,} private requests reached a cloud ({ids}): see `gridtie requests ID`, and tell who answers for them"
    )


def _assumed(question: Question, figures: Figures) -> Iterator[str]:
    power, line = question.power, figures["bottom_line"]
    price = f"${power.usd_per_kwh:.2f} a kilowatt-hour"
    if power.measured_kwh is not None:
        yield f"Electricity: {power.measured_kwh:g} kWh, as measured in the period, at {price}."
    else:
        origin = "as set" if power.chosen else "assumed, since costs.electricity is not set"
        idle = f" and {power.idle_watts:g} W while it did not" if power.idle_watts else ""
        yield (
            f"Electricity: {power.watts:g} W while a machine of ours was answering ({_hours(line['busy_seconds'])})"
            f"{idle}, at {price}, {origin}: {line['kwh'] + line['idle_kwh']:.3g} kWh."
        )
    hardware = question.hardware
    if hardware:
        yield (
            f"Amortisation: ${hardware.usd:,.0f} down to ${hardware.resale_usd:,.0f} over {hardware.years:g} years, in "
            f"equal parts, for {line['days']:.1f} days; in the bottom line only, not shared out."
        )
    else:
        yield "Amortisation: none, since costs.hardware is not set."
    yield (
        "The baseline is priced at the same tokens. Another model may need more of them, or fewer, and may answer "
        "better or worse; what an answer was worth is not in these figures."
    )
    yield (
        "List prices in US dollars, without taxes, discounts, batch rates or minimum fees. Tokens that the local "
        "engine took from its cache count as cached on the baseline too."
    )
    own = [f"{row['purpose']} {row['requests']:,}" for row in figures["own"]]
    if own:
        spent = billed(figures["own"])
        yield f"The tool's own traffic is in no figure: {', '.join(own)} requests{spent}."


def billed(own: Sequence[Mapping[str, Any]]) -> str:
    """What the tool's own traffic cost at clouds, as the end of a sentence; "" where none went there.

    It is in no comparison, and on the invoice all the same.
    """
    known = [row["cloud_usd"] for row in own if row["cloud_usd"] is not None]
    parts = [f"{money(sum(known))} for them at clouds"] if sum(known) else []
    parts += ["an unknown amount"] if len(known) < len(own) else []
    return f", and {' and '.join(parts)}, which an invoice has as well" if parts else ""


def _missing(power: Power, figures: Figures) -> Iterator[str]:
    totals = figures["totals"]
    if not totals["requests"]:
        return
    if totals["unpriced"]:
        yield (
            f"{totals['unpriced']:,} requests have no known price: they are in no comparison. What is known of their "
            f"cost is {money(totals['uncompared_usd'])}."
        )
    if totals["estimated"]:
        yield f"{totals['estimated']:,} requests rest on estimated tokens, since the provider gave no count."
    if totals["over_reserved"]:
        yield f"{totals['over_reserved']:,} answers were billed above what was reserved for them."
    if lost := totals["cloud_attempts_lost"]:
        yield f"{lost:,} attempts at a cloud gave no answer; whether they were billed is unknown."
    if figures["unfinished"]["attempts"]:
        yield (
            f"{figures['unfinished']['attempts']:,} attempts at a cloud were cut off by the end of the router; up to "
            f"{money(figures['unfinished']['reserved_usd'])} may have been billed."
        )
    if figures["repriced"]["differing"]:
        yield f"{figures['repriced']['differing']:,} rows cost something else than their tokens at the rates in them."
    if power.measured_kwh is None:
        yield "Electricity is not measured: read a meter at the plug, and give --kwh."
    yield "No provider's invoice is read: nothing here is confirmed as billed."
    if not _targets(figures):
        yield "Quality is not known: no result of `gridtie quality` was given."
    elif missing := figures["quality"]["not_tried"]:
        yield f"The quality of {', '.join(missing)} is not known, and answers of theirs are in these figures."
    for target in _targets(figures):
        if target["unfinished"]:
            yield f"The tasks of {target['target']} were not all tried, and its rates are of those that were."


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds:.0f} s"
