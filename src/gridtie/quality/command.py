"""`gridtie quality`: how many of our own tasks a target solves, and whether another one solves more."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from typing import Any

import msgspec

from gridtie.bench.errors import BenchError
from gridtie.bench.lines import Stopped
from gridtie.bench.progress import Progress
from gridtie.host import paths
from gridtie.host.new_file import put
from gridtie.host.paths import StationError
from gridtie.host.router import Declined, Unreachable
from gridtie.host.sandbox import SandboxUnavailable
from gridtie.quality import summary
from gridtie.quality.results import Results, read
from gridtie.quality.session import Session
from gridtie.solved.money import Tariff

SOLVED, WORSE, COULD_NOT, INTERRUPTED = 0, 1, 2, 130


def run(args: Namespace) -> int:
    """Try, show or compare; the exit status is the answer."""
    try:
        if args.compare:
            return _compare(args)
        if args.show:
            return _tell(args, read(args.show))
        return _try(args)
    except (BenchError, StationError, Unreachable, Declined, SandboxUnavailable) as error:
        sys.stderr.write(f"gridtie: {error}\n")
        return COULD_NOT


def _compare(args: Namespace) -> int:
    first, second = (read(path) for path in args.compare)
    tariff = _tariff()
    sys.stdout.write(summary.comparison(first, second, tariff) + "\n")
    pairs = [{"group": name, **msgspec.to_builtins(pair)} for name, pair in summary.paired(first, second)]
    _put_json(args, {"schema": 1, "a": _document(first, tariff), "b": _document(second, tariff), "categories": pairs})
    return WORSE if summary.worse(first, second) else SOLVED


def _tell(args: Namespace, results: Results) -> int:
    tariff = _tariff()
    sys.stdout.write(summary.report(results, tariff) + "\n")
    _put_json(args, _document(results, tariff))
    return SOLVED


def _put_json(args: Namespace, document: dict[str, Any]) -> None:
    if args.json is None:
        return
    try:
        put(args.json, json.dumps(msgspec.to_builtins(document), indent=2) + "\n")
    except OSError as error:
        raise BenchError(f"{args.json} cannot be written: {error.strerror}; name another place") from None


def _tariff() -> Tariff:
    return Tariff.read(paths.config_dir(os.environ))


def _document(results: Results, tariff: Tariff) -> dict[str, Any]:
    return {
        "schema": 1,
        "run": results.run,
        "facts": results.facts,
        # Money in US dollars, time in seconds, of one solved task.
        "categories": summary.lines(results, tariff),
        "counted": tariff.words,
        "solved": summary.solved(results),
        "left_out": results.left_out,
        "unfinished": results.stopped or len(results.left) or None,
        "spent_usd": results.spent,
    }


def _try(args: Namespace) -> int:
    session = Session(args)
    failure, status = "", COULD_NOT
    with session.opened() as writer, Progress(sys.stderr) as progress:
        try:
            session.go(writer, progress.say)
        except (BenchError, SandboxUnavailable) as error:
            failure = str(error)
        except KeyboardInterrupt:
            failure, status = "interrupted", INTERRUPTED
        else:
            left = len(writer.results.left)
            failure = f"{left} tries have no answer of this target" if left else ""
        if failure:
            writer.add(Stopped(why=failure))
    _tell(args, writer.results)
    sys.stdout.write(f"\nResults are in {session.path}\n")
    if not failure:
        return SOLVED
    sys.stderr.write(f"gridtie: {failure}; what was tried is kept, go on with --resume {session.path}\n")
    return status
