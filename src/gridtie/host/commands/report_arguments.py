"""The arguments of `gridtie report`: the same on a host, on a controller, and in the container that a host starts."""

from __future__ import annotations

import time
from argparse import Action, ArgumentParser, Namespace
from pathlib import Path
from typing import Any, List, Mapping, Optional

from gridtie.host.local_time import zone_since

DIMENSIONS = ("environment", "key", "agent", "project", "tag", "model", "rule", "day", "month")
FORMATS = {
    "json": "for programs, and for --recompute",
    "csv": "one table for spreadsheets",
    "html": "one page that needs nothing else",
}
# Files of the configuration that a report reads; secrets are none of them.
READ = ("llm_routing.yaml", "prices.json")
# Arguments that mean the same wherever the command runs.
_PASSED = (
    *("since", "until", "month", "kwh", "expect", "by", "baseline"),
    *("environment", "key", "agent", "project", "model"),
)


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of the command, wherever it runs."""
    period = parser.add_mutually_exclusive_group()
    period.add_argument("--since", default="30d", metavar="TIME", help="default: 30d")
    period.add_argument("--month", metavar="YYYY-MM", help="one calendar month")
    parser.add_argument("--until", metavar="TIME", help="default: now")
    for name in ("environment", "key", "agent", "project", "model"):
        parser.add_argument(
            f"--{name}",
            action="append",
            metavar="NAME",
            help=f"requests of this {name} alone; may be given more than once",
        )
    parser.add_argument(
        "--by", action="append", choices=DIMENSIONS, help="tables of the text; default: environment and model"
    )
    parser.add_argument(
        "--baseline",
        action="append",
        metavar="MODEL",
        help="compare with this model's price, in place of costs.baselines; may be given more than once",
    )
    parser.add_argument("--kwh", type=float, metavar="N", help="kilowatt-hours that a meter counted in the period")
    parser.add_argument(
        "--quality",
        action="append",
        metavar="FILE",
        help="what `gridtie quality --json` wrote of a target, to stand beside the money; may be given more than once",
    )
    parser.add_argument(
        "--expect", type=float, metavar="PERCENT", help="exit status 1 unless net is at least so much of the baseline"
    )
    form = parser.add_mutually_exclusive_group()
    for name, what in FORMATS.items():
        form.add_argument(f"--{name}", dest="format", nargs="?", action=_Form, metavar="FILE", help=what)
    form.add_argument(
        "--rows",
        dest="format",
        action="store_const",
        const="rows",
        help="each request with its money, packed: what playbooks/report.yml adds up for several hosts",
    )
    form.add_argument(
        "--recompute",
        nargs="?",
        const="",
        metavar="REPORT.json",
        help="print the SQL of every figure; of a report that was saved, compute them again and compare",
    )
    parser.add_argument(
        "--what-if", metavar="FILE", help="the same requests on other machines, or assumed ones: docs/report.md"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there, and not to the terminal")
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="another ledger.sqlite than the station's")
    parser.add_argument("--config", type=Path, metavar="DIR", help=f"another place of {' and '.join(READ)}")
    parser.add_argument("--utc-offset", metavar="MINUTES", help="another zone than this machine's")


class _Form(Action):
    """How the report is written, and where to: `--html FILE` is `--html --out FILE`, as with `gridtie bench`."""

    def __call__(self, parser: ArgumentParser, args: Namespace, values: Any, option: Optional[str] = None) -> None:
        """Keep both."""
        args.format = self.option_strings[0].lstrip("-")
        if values is not None:
            args.out = Path(values)


def words(args: Namespace) -> List[str]:
    """The command's arguments once more, without those that name places on this host."""
    told: List[str] = []
    given: Mapping[str, Any] = vars(args)
    for name in _PASSED:
        if name == "since" and args.month:
            continue
        values = given[name] if isinstance(given[name], list) else [given[name]]
        # One word: a value may begin with a dash.
        told += [f"--{name}={value}" for value in values if value is not None]
    if args.format:
        told.append(f"--{args.format}")
    if args.recompute is not None:
        told.append("--recompute=-" if args.recompute else "--recompute")
    if args.what_if:
        told.append("--what-if=-")
    if args.quality:
        told.append("--quality=-")
    told.append(f"--utc-offset={zone(args)}")
    return told


def zone(args: Namespace) -> str:
    """The reader's zone, as the offsets from UTC that hold in the period."""
    return args.utc_offset or zone_since(f"{args.month}-01" if args.month else args.since, time.time()) or "0"
