"""The `gridtie` command on the controller: all of the host's, and what needs the whole project."""

from __future__ import annotations

import datetime
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from gridtie.bench import command as bench
from gridtie.host.cli import Parser, build_parser, run
from gridtie.ledger import PricesError, refresh
from gridtie.quality import command as quality
from gridtie.report import command as report

_PRICES = Path("config/prices.json")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the controller's command; exit status as the host's."""
    try:
        return run(controller_parser(), argv)
    except PricesError as error:
        print(f"gridtie: {error}", file=sys.stderr)
        return 2


def controller_parser() -> Parser:
    """The host's commands and the controller's."""
    parser = build_parser()
    commands = parser.commands
    prices = commands.add_parser("prices", help="the price snapshot that costs are computed from")
    verbs = prices.add_subparsers(dest="verb", metavar="VERB", required=True)
    renew = verbs.add_parser("refresh", help="make it anew from the installed genai-prices, and say what changed")
    renew.add_argument("--out", type=Path, default=_PRICES, metavar="FILE", help=f"default: {_PRICES}")
    renew.set_defaults(run=refresh_prices)
    # Here is what a host has in the router's image alone.
    commands.choices["report"].set_defaults(run=report.run)
    commands.choices["bench"].set_defaults(run=bench.run)
    quality.register(commands)
    return parser


def refresh_prices(args: Namespace) -> int:
    """Replace the price file. Raises `PricesError`."""
    fresh = refresh.price_file(datetime.datetime.now(datetime.UTC).date())
    for change in refresh.write(args.out, fresh):
        print(change)
    print(f"{args.out}: {len(fresh.models)} models, {fresh.source}, {fresh.date}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
