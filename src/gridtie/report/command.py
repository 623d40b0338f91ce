"""`gridtie report` where the whole project is: on a controller, and in the container that a host's command starts."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gridtie.config import source
from gridtie.config.load import ConfigError, load_routing
from gridtie.config.names import canonical
from gridtie.host.commands.report_arguments import zone as reader_zone
from gridtie.host.new_file import put
from gridtie.host.paths import StationError, config_dir, state_dir
from gridtie.ledger import Prices, PricesError, UsageError, moment, zone_of
from gridtie.report import assumptions, quality, rows, what_if_told
from gridtie.report.figures import NothingAskedError, recomputed, report
from gridtie.report.ledger_file import UnreadableError
from gridtie.report.page import page
from gridtie.report.question import NARROWED, Other, Question, QuestionError, month
from gridtie.report.shared_machines import machines_of
from gridtie.report.spreadsheet import spreadsheet
from gridtie.report.sql import Statements
from gridtie.report.tariff import own_prices, power_of
from gridtie.report.text import text
from gridtie.report.what_if import what_if
from gridtie.report.words import money, percent

# What is wrong with a question or its files: one sentence, exit status 2.
_WRONG = (ConfigError, NothingAskedError, PricesError, QuestionError, StationError, UnreadableError, UsageError)


def run(args: Namespace) -> int:
    """Exit status 1 where a check failed: an alarm, --expect, or a figure that differs."""
    try:
        return _run(args)
    except _WRONG as error:
        sys.stderr.write(f"gridtie: {error}\n")
        return 2


def _run(args: Namespace) -> int:
    ledger = args.ledger or state_dir(os.environ) / "ledger" / "ledger.sqlite"
    if args.recompute:
        return _recompute(args.recompute, ledger)
    config = args.config or config_dir(os.environ)
    question = asked(args, config, time.time())
    if args.what_if:
        _write(args.out, _what_if(args, question, config, ledger))
        return 0
    if args.format == "rows":
        places = machines_of(load_routing(config / "llm_routing.yaml"))
        _write(args.out, rows.document(question, ledger, places))
        return 0
    found = report(question, ledger, [side for name in args.quality or () for side in _sides(name)])
    _write(args.out, script(found) if args.recompute is not None else _told(found, args))
    return _verdict(found, args.expect)


def _sides(name: str) -> list[quality.Side | quality.Demo]:
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise QuestionError(f"{name} cannot be read: {error.strerror}") from None
    return quality.read(raw, "the file of --quality" if name == "-" else name)


def _what_if(args: Namespace, question: Question, config: Path, ledger: Path) -> str:
    if args.format in ("csv", "rows") or args.recompute is not None:
        raise QuestionError("--what-if is text, --json or --html; leave the other option out")
    # Of machines that are not there nothing was measured, and of several candidates none is meant.
    for option in ("kwh", "quality", "expect"):
        if getattr(args, option) is not None:
            raise QuestionError(f"--{option} says nothing of the candidates of --what-if; leave it out")
    name = args.what_if
    raw = sys.stdin.buffer.read() if name == "-" else source.read_bytes(Path(name))
    assumed = assumptions.parse(raw, "the file of --what-if" if name == "-" else name)
    prices = Prices.load(config / "prices.json")
    baseline = _priced(load_routing(config / "llm_routing.yaml").defaults.baseline, prices)
    clouds = {each.name: _priced(each.cloud, prices) for each in assumed.candidates if each.cloud}
    found = what_if(assumed, question, baseline, clouds, ledger)
    if args.format == "json":
        return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    return what_if_told.page(found) if args.format == "html" else what_if_told.text(found)


def _write(path: Path | None, told: str) -> None:
    if path is None:
        sys.stdout.write(told)
        return
    try:
        put(path, told)
    except OSError as error:
        raise QuestionError(f"{path} cannot be written: {error.strerror}; name another place by --out") from None


def asked(args: Namespace, config: Path, now: float) -> Question:
    """The question that the arguments and the configuration put. Raises one of `_WRONG`."""
    routing = load_routing(config / "llm_routing.yaml")
    prices = Prices.load(config / "prices.json")
    zone = zone_of(reader_zone(args))
    if args.month:
        since, until = month(args.month, zone)
    else:
        since, until = moment(args.since, now, zone), now
    if args.until:
        until = moment(args.until, now, zone)
    return Question(
        since=since,
        # What is to come has no request, and would be written off all the same.
        until=min(until, now) if since < now else until,
        zone=zone,
        power=power_of(routing.costs.electricity, args.kwh),
        hardware=routing.costs.hardware,
        others=tuple(_priced(ref, prices) for ref in args.baseline or routing.costs.baselines),
        price_date=prices.date,
        own_prices=own_prices(routing),
        only={column: _names(column, given) for column in NARROWED if (given := getattr(args, column))},
    )


def script(found: Mapping[str, Any]) -> str:
    """The SQL of every figure, to be fed to `sqlite3 -readonly`."""
    return Statements.of(found["sql"]).script()


def _told(found: Mapping[str, Any], args: Namespace) -> str:
    if args.format == "json":
        return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    if args.format == "csv":
        return spreadsheet(found)
    return page(found) if args.format == "html" else text(found, args.by or ("environment", "model"))


def _verdict(found: Mapping[str, Any], expected: float | None) -> int:
    wrong = []
    if alarm := found["words"]["alarm"]:
        wrong.append(alarm)
    share = found["bottom_line"]["net_share"]
    if expected is not None and (share is None or share * 100 < expected):
        wrong.append(
            f"net is {percent(share)} of the baseline ({money(found['bottom_line']['net_usd'])}), and {expected:g} % "
            f"were expected, of {found['words']['traffic']}"
        )
    for line in wrong:
        sys.stderr.write(f"gridtie: {line}\n")
    return 1 if wrong else 0


def _recompute(name: str, ledger: Path) -> int:
    try:
        saved = json.loads(sys.stdin.read() if name == "-" else Path(name).read_text())
    except (OSError, ValueError) as error:
        raise QuestionError(f"{name} cannot be read: {error}; wanted: what `gridtie report --json` wrote") from None
    differing = recomputed(saved, ledger)
    for line in differing:
        sys.stderr.write(f"gridtie: {line}\n")
    if not differing:
        sys.stdout.write(script(saved))
        sys.stderr.write(f"Recomputed from {ledger}: every figure of the report agrees.\n")
    return 1 if differing else 0


def _priced(ref: str, prices: Prices) -> Other:
    listed = prices.listed(ref)
    if listed is None:
        raise QuestionError(
            f'no price of "{ref}" is in prices.json of {prices.date}; wanted, for a baseline or a cloud: one of '
            f"{', '.join(prices.refs()[:3])} … ({len(prices.refs())} in all)"
        )
    return Other(ref=ref, prices=listed)


def _names(column: str, given: Iterable[str]) -> tuple[str, ...]:
    """As the ledger has them: all but projects and models are compared without regard to case."""
    return tuple(name if column in ("project", "model") else canonical(name) for name in given)
