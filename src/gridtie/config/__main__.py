"""`python -m gridtie.config FILE...`: check routing files, without a router and without changing anything.

Exit 0 when every file holds, 1 when one does not, 2 when called wrongly.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gridtie.config.check_warnings import warnings
from gridtie.config.load import load
from gridtie.config.problems import ConfigError


def main(arguments: list[str]) -> int:
    if not arguments or any(argument.startswith("-") for argument in arguments):
        print("usage: python -m gridtie.config FILE...", file=sys.stderr)
        return 2
    return max(_check(Path(argument)) for argument in arguments)


def _check(path: Path) -> int:
    try:
        file = load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    for warning in warnings(file, keys=None):
        print(f"warning: {warning}", file=sys.stderr)
    routing = file.routing
    print(f"{path}: OK: {len(routing.rules)} rules, {len(routing.models)} aliases, {len(routing.providers)} providers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
