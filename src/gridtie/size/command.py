"""`gridtie size` where the whole project is: on a controller, and in the container that a host's command starts."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from gridtie.bench.errors import BenchError
from gridtie.config import source
from gridtie.config.load import ConfigError
from gridtie.host.catalogue_file import read_catalogue
from gridtie.host.paths import StationError, config_dir
from gridtie.ledger import Prices, PricesError, UsageError, moment
from gridtie.report.ledger_file import UnreadableError
from gridtie.size import demand as demands
from gridtie.size import speeds as timed
from gridtie.size import told
from gridtie.size.answer import Answer, answer, document
from gridtie.size.demand import Demand
from gridtie.size.errors import SizeError
from gridtie.size.places import places
from gridtie.size.plan import Plan, parse
from gridtie.size.speeds import Speeds

# What is wrong with a question or its files: one sentence, exit status 2.
_WRONG = (BenchError, ConfigError, PricesError, SizeError, StationError, UnreadableError, UsageError)


def run(args: Namespace) -> int:
    """Exit status 0, or 2 where there is no answer."""
    try:
        found = _asked(args, time.time())
    except _WRONG as error:
        sys.stderr.write(f"gridtie: {error}\n")
        return 2
    if args.json:
        sys.stdout.write(json.dumps(document(found), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(told.text(found))
    return 0


def _asked(args: Namespace, now: float) -> Answer:
    plan = _plan(args)
    config = args.config or config_dir(os.environ)
    since = moment(args.since, now)
    if not since < now:
        raise SizeError(f"--since {args.since} is to come; wanted a time before now, such as 30d")
    asked = _demand(plan, args.ledger, since, now)
    prices = Prices.load(config / "prices.json") if plan.cloud else None
    return answer(plan, asked, _speeds(plan, args, asked, since, now), _places(plan, args, config), prices)


def _plan(args: Namespace) -> Plan:
    raw = sys.stdin.buffer.read() if args.plan == "-" else source.read_bytes(Path(args.plan))
    plan = parse(raw, "the file" if args.plan == "-" else args.plan)
    return replace(plan, developers=args.developers) if args.developers else plan


def _demand(plan: Plan, ledger: Path | None, since: float, now: float) -> Demand:
    if ledger is not None:
        return demands.measured(ledger, since, now, plan.rhythm)
    if plan.traffic is None:
        raise SizeError("nothing is known of what is asked: name `traffic` in the file, or a ledger by --ledger")
    return demands.assumed(plan.traffic, plan.rhythm)


def _speeds(plan: Plan, args: Namespace, asked: Demand, since: float, now: float) -> Mapping[str, Speeds]:
    """A benchmark goes before a ledger, and a ledger before what the file says."""
    files = dict(args.bench or ())
    if unknown := set(files) - {machine.name for machine in plan.machines}:
        raise SizeError(f"--bench names {min(unknown)!r}, which is no machine of the file")
    found: dict[str, Speeds] = {}
    for machine in plan.machines:
        seen = None
        if machine.name in files:
            seen = timed.benchmarked(machine, files[machine.name], asked.input_tokens)
        elif args.ledger is not None and machine.measured_as:
            seen = timed.of_ledger(machine, args.ledger, since, now)
        found[machine.name] = seen or timed.assumed(machine)
    return found


def _places(plan: Plan, args: Namespace, config: Path) -> dict[str, int]:
    """Of the machines whose memory the file names."""
    named = [machine for machine in plan.machines if machine.memory_gib is not None]
    if not named:
        return {}
    catalogue = read_catalogue(args.catalogue or config / "models.json")
    return {machine.name: places(machine, catalogue) for machine in named}
