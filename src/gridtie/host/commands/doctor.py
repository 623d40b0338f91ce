"""`gridtie doctor`: every check, one verdict."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from typing import Any

from gridtie.host import paths
from gridtie.host.doctor.check import Report, Result, examine
from gridtie.host.doctor.checks import CHECKS
from gridtie.host.doctor.look import Look
from gridtie.host.doctor.probe import HostProbe


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    doctor = commands.add_parser(
        "doctor",
        help="check the whole station and print one verdict",
        description="Sends three small requests to the smoke-test model. Needs sudo: it looks at files and containers.",
    )
    doctor.add_argument("--json", action="store_true", help="{verdict, checks: [{id, ok, what, found, wanted, fix}]}")
    doctor.add_argument("--deep", action="store_true", help="hash also model files above 1 GiB")
    doctor.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Examine this machine's station; 0 only when every check holds."""
    look = this_machine(args.deep)
    report = examine(CHECKS, look, (lambda _: None) if args.json else _tell)
    sys.stdout.write(json.dumps(report.as_document(), indent=2) + "\n" if args.json else verdict(report) + "\n")
    return 0 if report.ok else 1


def this_machine(deep: bool) -> Look:
    """A look at the station that the environment names. Without a key or an endpoint the checks say so."""
    home, directory = paths.home_of(os.environ), paths.config_dir(os.environ)
    try:
        found = paths.find(os.environ, home)
        endpoint, key = found.url, found.key
    except paths.StationError:
        endpoint, key = paths.endpoint_only(os.environ, home), ""
    return Look(HostProbe(), directory, paths.state_dir(os.environ), endpoint, key, deep)


def line(result: Result) -> str:
    """One check for people."""
    mark = "ok  " if result.ok else ("--  " if result.blocked_by else "FAIL")
    text = f"{mark}  {result.id:<22} {result.what}: {result.found}"
    if result.ok and result.warning:
        return f"warn{text[4:]}\n{'':6}{'warning':<22} {result.warning}"
    if result.ok or result.blocked_by:
        return text
    rows = [text] + [
        f"{'':6}{name:<22} {said}" for name, said in (("wanted", result.wanted), ("do", result.fix)) if said
    ]
    return "\n".join(rows)


def verdict(report: Report) -> str:
    """The last line."""
    failed = [result.id for result in report.results if not result.ok and not result.blocked_by]
    blocked = sum(bool(result.blocked_by) for result in report.results)
    if report.ok:
        warned = sum(bool(result.warning) for result in report.results)
        warnings = f", with {warned} warning{'' if warned == 1 else 's'}" if warned else ""
        return f"PASS: all {len(report.results)} checks hold{warnings} ({report.seconds:.1f} s)"
    also = f"; {blocked} more could not be made" if blocked else ""
    return f"FAIL: {', '.join(failed)}{also} ({report.seconds:.1f} s)"


def _tell(result: Result) -> None:
    sys.stdout.write(line(result) + "\n")
    sys.stdout.flush()
