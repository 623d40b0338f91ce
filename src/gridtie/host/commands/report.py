"""`gridtie report`: on a host it runs from the router's image, since a host's Python is bare.

The container has no network, sees the ledger and two files of the configuration, and can write none of them.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Optional

from gridtie.host.commands.report_arguments import READ, add_arguments, words
from gridtie.host.new_file import put
from gridtie.host.paths import StationError, config_dir, read_station, state_dir
from gridtie.host.router_image import Mount, RouterImage

_STATE = Path("/var/lib/gridtie")
_CONFIG = Path("/etc/gridtie")


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser(
        "report",
        help="what was spent, what it would have cost elsewhere, what is left after electricity",
        description="From the ledger's file. Times: 24h, 7d or 2w (ago), a day as 2026-11-22, a time as "
        "2026-11-22T14:00 (both as this machine's clock shows them) or 2026-11-22T14:00:00Z. "
        "Exit status: 1 a check failed (a private request reached a cloud, --expect, a figure that differs), 2 usage "
        "or connection error.",
    )
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Run it in a container of the router's image, and put what it says where it belongs."""
    ledger = args.ledger or state_dir(os.environ) / "ledger" / "ledger.sqlite"
    config = args.config or config_dir(os.environ)
    if not os.access(ledger, os.R_OK):
        raise StationError(f"{ledger} is not there or may not be read by this user; run it with sudo")
    given = _input(args)
    image = RouterImage(read_station(config_dir(os.environ)))
    mounts = [Mount(ledger.parent, _STATE / "ledger"), *(Mount(config / name, _CONFIG / name) for name in READ)]
    inside = ["--ledger", str(_STATE / "ledger" / ledger.name), "--config", str(_CONFIG), *words(args)]
    ran = image.run(["-m", "gridtie.report", *inside], mounts, stdin=given)
    if "No module named" in ran.err:
        raise StationError("the router's image is of another gridtie, and has no report: run `make site`")
    sys.stderr.write(ran.err)
    # Without a word there is no report, whatever the status: an answer of earlier stays.
    if ran.status in (0, 1) and args.out and ran.out:
        try:
            put(args.out, ran.out)
        except OSError as error:
            raise StationError(f"{args.out} cannot be written: {error.strerror}; name another place") from None
    else:
        sys.stdout.write(ran.out)
    return ran.status


def _input(args: Namespace) -> str:
    """What the container reads, since it sees no file of the host: one file, or the results of several targets."""
    if sum(map(bool, (args.recompute, args.what_if, args.quality))) > 1:
        raise StationError("wanted: one of --recompute, --what-if and --quality")
    if args.quality:
        return "[" + ",".join(_given(name, "what `gridtie quality --json` wrote") for name in args.quality) + "]"
    return _given(args.recompute, "what `gridtie report --json` wrote") or _given(args.what_if, "see docs/report.md")


def _given(name: Optional[str], wanted: str) -> str:
    if not name:
        return ""
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StationError(f"{name} cannot be read: {error}; wanted: {wanted}") from None
