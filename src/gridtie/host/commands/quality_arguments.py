"""The arguments of `gridtie quality`, on a host and where it runs."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import List, Optional

from gridtie.host.commands.bench_arguments import dollars, positive

HELP = "how many of our own tasks a target solves, and what a solved one costs"
DESCRIPTION = (
    "Puts tasks with automatic checks to one target. What a model writes is executed in the sandbox alone. Nothing "
    "goes to a cloud without --spend. Exit status: 0 tried, 1 a check failed (with --compare: B is "
    "worse beyond chance), 2 usage or connection error; what was tried by then stays, and --resume goes on."
)
CATEGORIES = ("python", "shell", "yaml", "sql", "json", "review", "tools", "long context")
_VALUES = ("environment", "category", "set", "samples", "temperature", "spend", "out", "resume", "show", "json")


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of the command, wherever it runs."""
    parser.add_argument("target", nargs="?", default="", help="PROVIDER/MODEL, a model or an alias; default: coder's")
    parser.add_argument("--environment", metavar="NAME", help="ask as this environment")
    parser.add_argument(
        "--category",
        action="append",
        metavar="NAME",
        help=f"of {', '.join(CATEGORIES)}; may be given more than once; default: all",
    )
    parser.add_argument(
        "--set",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="tasks in HumanEval's format; may be given more than once",
    )
    parser.add_argument("--samples", type=positive, default=1, metavar="N", help="tries of each task; default: 1")
    parser.add_argument("--temperature", type=_temperature, default=0.0, metavar="T", help="0 to 2; default: 0")
    parser.add_argument("--spend", type=dollars, default=0.0, metavar="USD", help="the most that clouds may bill")
    parser.add_argument(
        "--sandbox-image", metavar="IMAGE", help="image with python3 to run code in; default: the router's"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: quality-TARGET-TIME.jsonl")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="go on with a run that was cut off")
    parser.add_argument("--show", type=Path, metavar="FILE", help="tell once more what a file holds")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("A", "B"), help="two runs, over the tasks of both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write it as JSON")
    # Where it runs in a container: the host runs code for it.
    parser.add_argument("--linked-sandbox", action="store_true", help=SUPPRESS)


def files(args: Namespace) -> List[Optional[Path]]:
    """What names a file of the caller's."""
    return [*args.set, args.out, args.resume, args.show, args.json, *(args.compare or ())]


def words(args: Namespace) -> List[str]:
    """The arguments once more, for another process; the image of the sandbox is the host's own affair."""
    told = [args.target] if args.target else []
    for name in _VALUES:
        given = getattr(args, name)
        # One word: a value may begin with a dash.
        values = given if isinstance(given, list) else [given]
        told += [f"--{name}={value}" for value in values if value]
    if args.compare:
        told += ["--compare", *map(str, args.compare)]
    return told


def _temperature(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 2:
        raise ArgumentTypeError(f"{text!r} found, wanted a number from 0 to 2")
    return found
