"""The `gridtie` command on the controller: all of the host's, and what needs the whole project."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from gridtie import prices_command
from gridtie.bench import command as bench
from gridtie.host.cli import Parser, build_parser, run
from gridtie.ledger import PricesError
from gridtie.quality import command as quality
from gridtie.report import command as report
from gridtie.size import command as size


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
    prices_command.register(parser.commands)
    # Here is what a host has in the router's image alone.
    parser.commands.choices["report"].set_defaults(run=report.run)
    parser.commands.choices["bench"].set_defaults(run=bench.run)
    parser.commands.choices["quality"].set_defaults(run=quality.run)
    parser.commands.choices["size"].set_defaults(run=size.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
