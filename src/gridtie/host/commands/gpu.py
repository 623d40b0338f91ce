"""`gridtie gpu`: the graphics cards of this machine, what the engine would use, and what is missing."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from gridtie.host.gpu import read_survey, verdict
from gridtie.host.gpu.devices import DeviceError, narrowed, of_station
from gridtie.host.gpu.record import record
from gridtie.host.gpu.report import document, lines
from gridtie.host.paths import StationError, config_dir, read_station


def register(commands: Any) -> None:
    parser = commands.add_parser(
        "gpu", help="graphics cards: what is there, what the engine would use, what is missing"
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="everything, for programs")
    parser.add_argument("--record", action="store_true", help="print what was looked at, to be judged elsewhere")
    parser.add_argument("--mode", choices=("container", "native"), default="container", help="how the engine runs")
    parser.add_argument("--root", type=Path, default=Path("/"), help="directory with another machine's tree")


def _devices() -> tuple[str, ...]:
    """The cards that the station's engine may use; all where there is no station that this user may read."""
    with suppress(StationError):
        return of_station(read_station(config_dir(os.environ)))
    return ()


def run(args: argparse.Namespace) -> int:
    """Exit status 0: every supported card is usable; 1: one is not."""
    if args.record:
        sys.stdout.write(record(args.root))
        return 0
    here = args.root == Path("/")
    try:
        survey = narrowed(read_survey(args.root, platform.machine() if here else ""), _devices() if here else ())
    except DeviceError as error:
        raise StationError(f"{error}; {error.fix}") from None
    found = verdict(survey, args.mode)
    if args.json:
        sys.stdout.write(json.dumps(document(survey, args.mode), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(lines(survey, found)) + "\n")
    return 1 if found.problems else 0
