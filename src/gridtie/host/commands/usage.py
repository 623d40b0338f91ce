"""`gridtie usage` and `gridtie requests`: what the ledger says."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import sys
import time
import urllib.parse
from argparse import Namespace
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence

from gridtie.host.commands.own_key import about
from gridtie.host.decision_words import tried
from gridtie.host.ledger_file import ledger_file, read_only
from gridtie.host.local_time import shown, zone_since
from gridtie.host.paths import find, home_of
from gridtie.host.printable import one_line
from gridtie.host.router import Router
from gridtie.host.table import table

GROUPS = ("day", "key", "agent", "environment", "model", "rule")

# Figures of a line, each with its head; the first table's add up: requests are what became of them, and where.
_BECAME = (
    ("requests", "requests"),
    ("answered", "answered"),
    ("refused", "refused"),
    ("failed", "failed"),
    ("interrupted", "interrupted"),
    ("cancelled", "cancelled"),
    ("local_requests", "local"),
    ("cloud_requests", "cloud"),
    ("nowhere_requests", "none"),
)
_USED = (("input_tokens", "tokens in"), ("cached_tokens", "cached"), ("output_tokens", "tokens out"))
_LATEST = ("TIME", "KEY", "ASKED", "ANSWERED BY", "STATUS", "IN", "OUT", "TOOK", "COST $", "ID")
# Of the report: shown to those who ask for it.
_SQL = frozenset(("sql", "recompute"))
_MONEY = (("cost_usd", "cost $"), ("baseline_usd", "baseline $"), ("saved_usd", "avoided $"))
_UNSURE = (("unpriced", "unpriced"), ("estimated", "estimated"))


def register(commands: Any) -> None:
    """Add the two commands to the parser's sub-commands."""
    usage = commands.add_parser(
        "usage",
        help="what was asked, where it ran, what it cost and what a cloud would have cost",
        description="Times: 24h, 7d or 2w (ago), a day as 2026-11-22, a time as 2026-11-22T14:00 (both as this "
        "machine's clock shows them) or 2026-11-22T14:00:00Z.",
    )
    usage.add_argument("--since", default="30d", metavar="TIME", help="default: 30d")
    usage.add_argument("--until", metavar="TIME", help="default: now")
    usage.add_argument("--by", choices=GROUPS, help="one line for each")
    usage.add_argument(
        "--mine", action="store_true", help="of your own key alone (also where it is an admin's), with its limits"
    )
    usage.add_argument("--json", action="store_true", help="the whole report, its SQL with --recompute")
    usage.add_argument(
        "--recompute",
        action="store_true",
        help="print the SQL of every figure, compute them again from the ledger file, and compare",
    )
    usage.set_defaults(run=run_usage)
    requests = commands.add_parser("requests", help="what was asked last, or what became of one request")
    requests.add_argument("id", nargs="?", metavar="ID", help="as in the x-gridtie-request-id header of its answer")
    requests.add_argument("--last", type=int, metavar="N", default=20, help="without ID: how many; default: 20")
    requests.add_argument("--json", action="store_true", help="for programs")
    requests.set_defaults(run=run_requests)


def run_usage(args: Namespace) -> int:
    """Print the report; with --recompute, 1 when a figure differs from the ledger's."""
    asked = {"since": args.since, "until": args.until, "by": args.by, "utc_offset": zone_since(args.since, time.time())}
    router = _router()
    mine = router.get("/gridtie/key") if args.mine else None
    if mine:
        asked["key"] = mine["name"]
    query = urllib.parse.urlencode({name: value for name, value in asked.items() if value})
    report = router.get(f"/gridtie/usage?{query}")
    database = ledger_file(os.environ)
    if args.json:
        told = report if args.recompute else {name: report[name] for name in report if name not in _SQL}
        told = {**told, "key": mine} if mine else told
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    elif args.recompute:
        sys.stdout.write("\n\n".join(_commands(report, database)) + "\n")
    else:
        # The ledger's file is root's, and root's own key is another one.
        again = [] if mine else _again(query_words(args))
        sys.stdout.write("\n".join([*([about(mine), ""] if mine else []), text(report), *again]) + "\n")
    return recompute(report, database) if args.recompute else 0


def run_requests(args: Namespace) -> int:
    """Print one request's row, or a line for each of the latest."""
    if args.id:
        return _one_request(args)
    rows = _router().get(f"/gridtie/requests?last={args.last}")["requests"]
    if args.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
    elif rows:
        sys.stdout.write(table(_LATEST, [_latest(row) for row in rows], right=(4, 5, 6, 7, 8)) + "\n")
        sys.stdout.write("gridtie requests ID has the rest of one.\n")
    else:
        sys.stdout.write("No requests of yours are known.\n")
    return 0


def _latest(row: Mapping[str, Any]) -> list[str]:
    """One line; what failed has its code in the place of a target."""
    served = row.get("target") or row.get("code") or "nothing"
    tokens = (str(row.get(name, 0)) for name in ("input_tokens", "output_tokens"))
    cost = row.get("cost_usd")
    took, price = f"{row.get('duration', 0.0):.1f} s", "" if cost is None else f"{cost:.5f}"
    return [shown(row["time"]), row["key"], row["asked"], served, str(row["status"]), *tokens, took, price, row["id"]]


def _one_request(args: Namespace) -> int:
    row = _router().get("/gridtie/requests/" + urllib.parse.quote(args.id, safe=""))
    if args.json:
        sys.stdout.write(json.dumps(row, indent=2) + "\n")
        return 0
    tries = row.pop("tries", [])
    if "time" in row:
        row["time"] = shown(row["time"])
    sys.stdout.write("\n".join(f"{name:<20}{_cell(value)}" for name, value in row.items()) + "\n")
    for number, attempt in enumerate(tries, 1):
        sys.stdout.write(f"attempt {number:<12}{tried(attempt)}\n")
    return 0


def query_words(args: Namespace) -> list[str]:
    """The options that ask the same question again."""
    words = ["--since", args.since]
    for name in ("until", "by"):
        if getattr(args, name):
            words += [f"--{name}", getattr(args, name)]
    return words


def text(report: Mapping[str, Any]) -> str:
    """The report for people."""
    totals = report["totals"]
    lines = [
        report["statement"],
        f"From {shown(report['since'])} to {shown(report['until'])}.",
        "",
        _lines(report, _BECAME),
        "",
        _lines(report, (*_USED, *_MONEY, *_UNSURE)),
        "",
        f"Local share: {_percent(totals['local_share_requests'])} of answers, "
        f"{_percent(totals['local_share_usd'])} of the baseline's dollars.",
        f"Cached: {_percent(totals['cached_share_tokens'])} of the prompts' tokens were not read again.",
        f"Baseline: {', '.join(report['baselines']) or 'none'}; prices of {', '.join(report['price_dates']) or '-'}; "
        f"electricity: {report['electricity']['status']}.",
        f"Private requests: {totals['private_requests']}, of which {totals['private_cloud']} reached a cloud.",
        *_remarks(report),
    ]
    return "\n".join(lines)


def _again(words: list[str]) -> list[str]:
    asked = " ".join(map(shlex.quote, words))
    return [
        "Recompute every figure from the ledger file:",
        f"  sudo {_named_station()}gridtie usage {asked} --recompute",
    ]


def _lines(report: Mapping[str, Any], figures: Sequence[tuple[str, str]]) -> str:
    head = ("", *(name for _, name in figures))
    told = [*((str(group["group"]), group) for group in report["groups"]), ("all", report["totals"])]
    rows = [[name, *(_figure(values[figure]) for figure, _ in figures)] for name, values in told]
    return table(head, rows, right=range(1, len(head)))


def _remarks(report: Mapping[str, Any]) -> Iterator[str]:
    """What is not so on every station: a line for each that is."""
    totals = report["totals"]
    if totals["interrupted"] or totals["cancelled"]:
        yield "Interrupted: the answer ended early; cancelled: the client left. Both may cost, and avoid nothing."
    if totals["unpriced"]:
        yield (
            f"Unpriced: no price is known, so they are in no comparison; {_amount(totals['uncompared_usd'])} of their "
            "cost is known, and spent."
        )
    if totals["over_reserved"]:
        yield f"Billed above what was reserved for them: {totals['over_reserved']}; a budget may have been overdrawn."
    lost, cut = totals["cloud_attempts_lost"], len(report["unfinished"])
    if lost or cut:
        yield (
            f"Cloud attempts that gave no answer and may have billed: {lost}; cut off by the end of the router: {cut}."
        )
    for own in report["own"]:
        yield (
            f"The tool's own traffic ({own['purpose']}): {own['requests']:,} requests, {own['input_tokens']:,} tokens "
            f"in, {own['output_tokens']:,} out, cost {_amount(own['cost_usd'])}; in no figure above."
        )
    relayed = report["relayed"]
    if relayed["requests"]:
        yield (
            f"For other stations, which count them: {relayed['requests']:,} requests, {relayed['input_tokens']:,} "
            f"tokens in, {relayed['output_tokens']:,} out; in no figure above."
        )


def recompute(report: Mapping[str, Any], database: Path) -> int:
    """Run the report's own SQL against the ledger file and compare; 0 when every figure agrees."""
    if not os.access(database, os.R_OK):
        sys.stderr.write(f"gridtie: {database} is not there or may not be read by this user; run it with sudo\n")
        return 2
    reader = read_only(database)
    try:
        reader.row_factory = sqlite3.Row
        found = {name: [dict(row) for row in reader.execute(sql)] for name, sql in report["sql"].items()}
    finally:
        reader.close()
    stated = {
        "totals": [report["totals"]],
        "own": report["own"],
        "relayed": [report["relayed"]],
        "groups": report["groups"],
        "unfinished": report["unfinished"],
    }
    differing = list(_differing(stated, found))
    repriced = found["repriced"][0]
    if repriced["differing"]:
        differing.append(f"{repriced['differing']} rows cost something else than their tokens at the rates in them")
    figures = sum(len(line) for lines in stated.values() for line in lines)
    for line in differing:
        sys.stderr.write(f"gridtie: {line}\n")
    if not differing:
        sys.stderr.write(
            f"Recomputed from {database}: all {figures} figures agree, and so does the money of the "
            f"{repriced['rows']:,} rows that have rates.\n"
        )
    return 1 if differing else 0


def _differing(stated: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for name, lines in stated.items():
        again = found.get(name, [])
        for line, other in zip(lines, again):
            for figure, value in line.items():
                if other.get(figure) != value:
                    group = line.get("group", "")
                    yield f"{name} {group} {figure}: the report says {value}, the ledger says {other.get(figure)}"
        if len(lines) != len(again):
            yield f"{name}: the report has {len(lines)} lines, the ledger {len(again)}"


def _commands(report: Mapping[str, Any], database: Path) -> Iterator[str]:
    """To be run by hand."""
    for name, sql in report["sql"].items():
        yield f"# {name}\nsudo sqlite3 -readonly -header {shlex.quote(str(database))} {shlex.quote(sql)}"


def _named_station() -> str:
    """What sudo must be told where another station than the usual one was asked."""
    named = os.environ.get("GRIDTIE_CONFIG_DIR")
    return f"GRIDTIE_CONFIG_DIR={shlex.quote(named)} " if named else ""


def _router() -> Router:
    endpoint = find(os.environ, home_of(os.environ))
    return Router(endpoint.url, endpoint.key)


def _figure(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.4f}" if isinstance(value, float) else f"{value:,}"


def _amount(amount: Optional[float]) -> str:
    return "unknown" if amount is None else f"${amount:,.6f}"


def _percent(share: Optional[float]) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _cell(value: Any) -> str:
    if value is None:
        return "unknown"
    return one_line(", ".join(map(str, value)) if isinstance(value, list) else str(value))
