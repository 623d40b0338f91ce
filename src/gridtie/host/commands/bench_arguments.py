"""The arguments of `gridtie bench`, on a host and where it runs."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import List, Tuple

DESCRIPTION = (
    "Times requests to one target through the router and, where its engine can be reached, beside it. Requests are "
    "marked, and stand outside every report. Nothing goes to a cloud without --spend. Exit status: 0 all is measured "
    "and every --expect holds, 1 a check failed (an --expect, or with --compare the second run is slower), 2 usage or "
    "connection error; what was measured by then stays in the file and --resume goes on."
)
HELP = "how fast a target answers, with intervals, and what the router adds"


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of the command, wherever it runs."""
    parser.add_argument(
        "target",
        nargs="?",
        default="",
        help="PROVIDER/MODEL of the routing file, a model or an alias; default: coder's",
    )
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--environment", metavar="NAME", help="ask as this environment; default: the first that leads there"
    )
    what.add_argument(
        "--profile",
        action="append",
        metavar="NAME",
        help="chat, agent, completion, batch or cache; may be given more than once",
    )
    what.add_argument(
        "--prompt-tokens", type=positive, metavar="N", help="prompts of another length than the profile's"
    )
    what.add_argument("--without-tools", action="store_true", help="the agent's profile for models that take no tools")
    what.add_argument(
        "--concurrency", type=several, default=(1, 4), metavar="N,...", help="requests at once; default: 1,4"
    )
    what.add_argument(
        "--requests", type=positive, default=20, metavar="N", help="how many for each row of the table; default: 20"
    )
    what.add_argument(
        "--rounds", type=positive, default=4, metavar="N", help="how often the rows take turns; default: 4"
    )
    what.add_argument(
        "--cold", type=positive, default=0, metavar="N", help="also unload the model so often, and time that"
    )
    what.add_argument("--direct", metavar="URL", help="where the engine is, beside the router")
    what.add_argument(
        "--seed", metavar="TEXT", help="draw the same prompts again; an engine's cache may know them then"
    )
    what.add_argument(
        "--spend", type=dollars, default=0.0, metavar="USD", help="the most that clouds may bill for this"
    )
    files = parser.add_argument_group("results")
    files.add_argument(
        "--out", type=Path, metavar="FILE", help="where results are kept; default: bench-TARGET-TIME.jsonl"
    )
    files.add_argument("--resume", type=Path, metavar="FILE", help="go on with a run that was cut off")
    files.add_argument("--show", type=Path, metavar="FILE", help="tell once more what a file holds; nothing is asked")
    files.add_argument(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("A", "B"),
        help="whether B is slower or faster than A, and by how much",
    )
    files.add_argument("--json", type=Path, metavar="FILE", help="also write it as JSON")
    files.add_argument("--html", type=Path, metavar="FILE", help="also write it as a page")
    files.add_argument(
        "--expect", action="append", default=[], metavar="TARGET", help="such as 'first-token p95 < 2 s at 4 in chat'"
    )
    # What the host sees of the machine while it runs in a container.
    files.add_argument("--meter", type=Path, help=SUPPRESS)


def words(args: Namespace) -> List[str]:
    """The arguments once more, for another process."""
    told = [args.target] if args.target else []
    for name in (*_VALUES, *FILES):
        given = getattr(args, name)
        # One word: a value may begin with a dash.
        values = given if isinstance(given, list) else [given]
        told += [f"--{name.replace('_', '-')}={value}" for value in values if value]
    told.append(f"--concurrency={','.join(map(str, args.concurrency))}")
    if args.without_tools:
        told.append("--without-tools")
    if args.compare:
        told += ["--compare", *map(str, args.compare)]
    return told


_VALUES = ("environment", "profile", "prompt_tokens", "requests", "rounds", "cold", "direct", "seed", "spend", "expect")
# What names a file of the caller's.
FILES = ("out", "resume", "show", "json", "html")


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or not 1 <= int(text) <= 1_000_000:
        raise ArgumentTypeError(f"{text!r} found, wanted a whole number from 1 to 1000000")
    return int(text)


def several(text: str) -> Tuple[int, ...]:
    """Requests at once: whole numbers with commas between, in ascending order, each once."""
    return several_numbers(text, 1024, "at once")


def several_numbers(text: str, most: int, what: str) -> Tuple[int, ...]:
    """Whole numbers from 1 to `most` with commas between, in ascending order, each once."""
    numbers = sorted({positive(word.strip()) for word in text.split(",")})
    if numbers[-1] > most:
        raise ArgumentTypeError(f"{numbers[-1]} {what} found, wanted at most {most}")
    return tuple(numbers)


def dollars(text: str) -> float:
    """An amount of money, more than none."""
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise ArgumentTypeError(f"{text!r} found, wanted US dollars above 0, such as 0.50")
    return amount
