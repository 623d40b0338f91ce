"""`python -m gridtie.catalogue`: read models' headers from their library into config/models.yaml (`make catalogue`).

Exit status: 0 done, 1 a check failed (a model could not be read; the rest is written), 2 usage or connection error.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import tempfile
from pathlib import Path

from gridtie.catalogue.add import NOT_ASKED, add, refresh
from gridtie.catalogue.load import CatalogueFileError, load
from gridtie.host.catalogue import CatalogueError
from gridtie.host.models.download import Fetcher
from gridtie.host.models.sources import Means

CATALOGUE = Path(__file__).resolve().parents[3] / "config" / "models.yaml"


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m gridtie.catalogue", description=__doc__)
    parser.add_argument("--registry", default="https://registry.ollama.ai", help="default: %(default)s")
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("add", help="a new entry from the header of the library's file")
    new.add_argument("name", metavar="NAME", help="as the Ollama library calls it, with its tag")
    new.add_argument("--after", default="", metavar="NAME", help="behind this entry (default: the last of its family)")
    again = commands.add_parser("refresh", help="shapes and sizes anew from the headers, where the registry answers")
    again.add_argument("names", nargs="*", metavar="NAME", help="these models (default: all)")
    args = parser.parse_args()
    try:
        return _run(args)
    except KeyError as error:
        parser.error(str(error.args[0]))
    except (CatalogueError, CatalogueFileError, OSError, ValueError) as error:
        parser.error(str(error))


def _run(args: argparse.Namespace) -> int:
    known, today = load(args.catalogue), datetime.datetime.now(datetime.UTC).date().isoformat()
    with tempfile.TemporaryDirectory() as scratch:
        means = Means(Path(scratch), args.registry, Fetcher(os.environ.get("SSL_CERT_FILE", "")))
        if args.command == "refresh":
            problems = refresh(args.catalogue, known, args.names, means, today, _say)
            for problem in problems:
                _say(problem)
            return 1 if problems else 0
        try:
            left = add(args.catalogue, known, args.name, means, today, args.after)
        except NOT_ASKED as error:
            _say(f"{args.name}: {error}")
            return 1
    _say(f"{args.name}: written into {args.catalogue.name}. Look at the difference, and fill in:")
    for part in left:
        _say(f"  - {part}")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
