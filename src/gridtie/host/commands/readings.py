"""`gridtie readings`: graphics cards, energy and the engine's memory, once or again and again into a file."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from gridtie.host.commands.bench import resident_of
from gridtie.host.meter import Packages
from gridtie.host.readings import EVERY_S, cards, document, put


def register(commands: Any) -> None:
    parser = commands.add_parser(
        "readings", help="memory, watts and temperature of graphics cards, and the engine's memory, for metrics"
    )
    parser.set_defaults(run=run)
    parser.add_argument("--write", type=Path, metavar="FILE", help="into this file, again and again, until stopped")
    parser.add_argument("--every", type=float, default=EVERY_S, metavar="SECONDS", help="how often (%(default)g)")


def run(args: argparse.Namespace) -> int:
    """Exit status 0; 2 where the file cannot be written at the first time."""
    packages = Packages()

    def look() -> dict[str, Any]:
        # The engine is looked for anew each time: it may have been started again, or be another one.
        return document(time.time(), cards(), resident_of()(), packages.joules())

    if args.write is None:
        sys.stdout.write(json.dumps(look(), indent=2) + "\n")
        return 0
    try:
        put(args.write, look())
    except OSError as error:
        sys.stderr.write(
            f"gridtie: {args.write}: {error.strerror or error}; name a file in a directory that is there\n"
        )
        return 2
    while True:
        time.sleep(max(args.every, 1.0))
        try:
            put(args.write, look())
        except OSError as error:
            # A full disk may have room again; meanwhile the router sees that the file is old.
            sys.stderr.write(f"gridtie: {args.write}: {error.strerror or error}\n")
