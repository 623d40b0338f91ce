"""`gridtie usage` and `gridtie requests`: what the ledger says."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import sys
import urllib.parse
from argparse import Namespace
from pathlib import Path
from typing import Any, Mapping, Optional

from gridtie.host.ask import Router
from gridtie.host.place import find, home_of, state_dir
from gridtie.host.table import table

GROUPS = ("day", "key", "agent", "environment", "model", "rule")


def register(commands: Any) -> None:
    """Add the two commands to the parser's sub-commands."""
    usage = commands.add_parser(
        "usage",
        help="what was asked, where it ran, what it cost and what it saved",
        description="Times: 24h, 7d or 2w (ago), a day as 2026-11-22, a time as 2026-11-22T14:00:00Z.",
    )
    usage.add_argument("--since", default="30d", metavar="TIME", help="default: 30d")
    usage.add_argument("--until", metavar="TIME", help="default: now")
    usage.add_argument("--by", choices=GROUPS, help="one line for each")
    usage.add_argument("--json", action="store_true", help="the whole report, with the SQL of every figure")
    usage.add_argument(
        "--recompute", action="store_true", help="compute every figure again from the ledger file, and compare"
    )
    usage.set_defaults(run=run_usage)
    requests = commands.add_parser("requests", help="what became of one request")
    requests.add_argument("id", metavar="ID", help="as in the x-gridtie-request-id header of its answer")
    requests.add_argument("--json", action="store_true")
    requests.set_defaults(run=run_request)


def run_usage(args: Namespace) -> int:
    """Print the report; with --recompute, 1 when a figure differs from the ledger's."""
    asked = {"since": args.since, "until": args.until, "by": args.by}
    query = urllib.parse.urlencode({name: value for name, value in asked.items() if value})
    report = _router().get(f"/gridtie/usage?{query}")
    database = state_dir(os.environ) / "ledger" / "ledger.sqlite"
    if args.json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    elif not args.recompute:
        sys.stdout.write(text(report, database, query_words(args)) + "\n")
    return recompute(report, database) if args.recompute else 0


def run_request(args: Namespace) -> int:
    """Print one request's row."""
    row = _router().get("/gridtie/requests/" + urllib.parse.quote(args.id, safe=""))
    if args.json:
        sys.stdout.write(json.dumps(row, indent=2) + "\n")
        return 0
    tries = row.pop("tries", [])
    sys.stdout.write("\n".join(f"{name:<20}{_cell(value)}" for name, value in row.items()) + "\n")
    for number, attempt in enumerate(tries, 1):
        said = f": {attempt['message']}" if attempt.get("message") else ""
        seconds = attempt.get("duration", 0.0)
        sys.stdout.write(f"attempt {number:<12}{attempt['target']} {attempt['outcome']} after {seconds:.2f} s{said}\n")
    return 0


def query_words(args: Namespace) -> list[str]:
    """The options that ask the same question again."""
    words = ["--since", args.since]
    for name in ("until", "by"):
        if getattr(args, name):
            words += [f"--{name}", getattr(args, name)]
    return words


def text(report: Mapping[str, Any], database: Path, words: list[str]) -> str:
    """The report for people."""
    totals = report["totals"]
    lines = [report["statement"], ""]
    head = ("", "requests", "local", "cloud", "failed", "tokens in", "out", "cost $", "baseline $", "saved $", "gaps")
    rows = [_row(group["group"], group) for group in report["groups"]] + [_row("all", totals)]
    lines += [table(head, rows, right=range(1, len(head))), ""]
    lines += [
        f"Local share: {_percent(totals['local_share_requests'])} of requests, "
        f"{_percent(totals['local_share_usd'])} of the baseline's dollars.",
        f"Baseline: {', '.join(report['baselines']) or 'none'}; prices of {', '.join(report['price_dates']) or '-'}; "
        f"electricity: {report['electricity']['status']}.",
        f"Private requests: {totals['private_requests']}, of which {totals['private_cloud']} reached a cloud. "
        f"Refused: {totals['refused']}. Broken off: {totals['broken_off']}. Left by the client: {totals['cancelled']}.",
        f"Cloud attempts that gave no answer and may have billed: {totals['cloud_attempts_lost']}; "
        f"cut off by the end of the router: {len(report['unfinished'])}.",
        *_relayed(report["relayed"]),
        "Gaps: requests without a known price (left out of the sums), or with estimated tokens.",
        "",
        "Recompute every figure from the ledger file:",
        f"  sudo {_named_station()}gridtie usage {' '.join(map(shlex.quote, words))} --recompute",
        "or by hand (`--json` has the SQL of all of them):",
        f"  sudo sqlite3 -readonly -header {shlex.quote(str(database))} {shlex.quote(report['sql']['headline'])}",
    ]
    return "\n".join(lines)


def _relayed(figures: Mapping[str, Any]) -> list[str]:
    """Nothing on a station that nobody else asks."""
    if not figures["requests"]:
        return []
    tokens = f"{figures['input_tokens']:,} tokens in, {figures['output_tokens']:,} out"
    return [f"For other stations, which count them: {figures['requests']:,} requests, {tokens}; in no figure above."]


def recompute(report: Mapping[str, Any], database: Path) -> int:
    """Run the report's own SQL against the ledger file and compare; 0 when every figure agrees."""
    if not os.access(database, os.R_OK):
        sys.stderr.write(f"gridtie: {database} is not there or may not be read by this user; run it with sudo\n")
        return 2
    reader = sqlite3.connect(f"file:{urllib.parse.quote(str(database))}?mode=ro", uri=True, timeout=5.0)
    try:
        reader.row_factory = sqlite3.Row
        found = {name: [dict(row) for row in reader.execute(sql)] for name, sql in report["sql"].items()}
    finally:
        reader.close()
    stated = {
        "totals": [report["totals"]],
        "relayed": [report["relayed"]],
        "groups": report["groups"],
        "unfinished": report["unfinished"],
    }
    differing = [
        f"{name} {line.get('group', '')} {figure}: the report says {value}, the ledger says {again.get(figure)}"
        for name, lines in stated.items()
        for line, again in zip(lines, found.get(name, []))
        for figure, value in line.items()
        if again.get(figure) != value
    ]
    differing += [
        f"{name}: the report has {len(lines)} lines, the ledger {len(found.get(name, []))}"
        for name, lines in stated.items()
        if len(lines) != len(found.get(name, []))
    ]
    figures = sum(len(line) for lines in stated.values() for line in lines)
    for line in differing:
        sys.stderr.write(f"gridtie: {line}\n")
    if not differing:
        sys.stderr.write(f"Recomputed from {database}: all {figures} figures agree.\n")
    return 1 if differing else 0


def _named_station() -> str:
    """What sudo must be told where another station than the usual one was asked."""
    named = os.environ.get("GRIDTIE_CONFIG_DIR")
    return f"GRIDTIE_CONFIG_DIR={shlex.quote(named)} " if named else ""


def _router() -> Router:
    place = find(os.environ, home_of(os.environ))
    return Router(place.endpoint, place.key)


def _row(name: str, figures: Mapping[str, Any]) -> list[str]:
    numbers = ("requests", "local_requests", "cloud_requests", "failed", "input_tokens", "output_tokens")
    money = ("cost_usd", "baseline_usd", "saved_usd")
    gaps = figures["unpriced"] + figures["estimated"]
    return [
        str(name),
        *(f"{figures[n]:,}" for n in numbers),
        *(_money(figures[m]) for m in money),
        str(gaps) if gaps else "",
    ]


def _money(amount: Optional[float]) -> str:
    return "unknown" if amount is None else f"{amount:,.4f}"


def _percent(share: Optional[float]) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _cell(value: Any) -> str:
    if value is None:
        return "unknown"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
