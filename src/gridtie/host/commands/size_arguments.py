"""The arguments of `gridtie size`, on a host and where it runs."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Tuple

from gridtie.host.commands.bench_arguments import several_numbers

DESCRIPTION = (
    "A team has a machine each, one shared server, several behind one router, several routers or a cluster; told is on "
    "which of these rungs it stands and where it outgrows it. Waiting is computed by a model of queues; everything "
    "that it rests on is told, and whether it was measured. Exit status: 2 where there is no answer."
)
HELP = "how many cards a team needs, how long it waits, what that costs"


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of the command, wherever it runs."""
    parser.add_argument("plan", metavar="FILE", help="who asks what, and which machines there might be: docs/scale.md")
    parser.add_argument(
        "--developers", type=developers, metavar="N,...", help="so many, in place of the file's `developers`"
    )
    parser.add_argument(
        "--ledger", type=Path, metavar="LEDGER", help="traffic as this ledger.sqlite has it, in place of `traffic`"
    )
    parser.add_argument("--since", default="30d", metavar="TIME", help="from then on, of the ledger; default: 30d")
    parser.add_argument(
        "--bench",
        type=benchmark,
        action="append",
        metavar="MACHINE=FILE",
        help="speeds of a machine of the file as `gridtie bench` wrote them; may be given more than once",
    )
    parser.add_argument(
        "--catalogue", type=Path, metavar="MODELS", help="models.json or models.yaml (default: the station's)"
    )
    parser.add_argument("--config", type=Path, metavar="DIR", help="another place of prices.json and models.json")
    parser.add_argument("--json", action="store_true", help="for programs")


def developers(text: str) -> Tuple[int, ...]:
    """Numbers of people with commas between."""
    return several_numbers(text, 10_000, "developers")


def benchmark(text: str) -> Tuple[str, Path]:
    """The name of a machine, and a file."""
    name, sign, file = text.rpartition("=")
    if not (name and sign and file):
        raise ArgumentTypeError(f"{text!r} found, wanted MACHINE=FILE")
    return name, Path(file)
