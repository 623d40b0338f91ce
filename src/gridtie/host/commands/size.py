"""`gridtie size`: on a host it runs from the router's image, since a host's Python is bare.

The container has no network, and sees the files that are named, read-only.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, List

from gridtie.host.commands.fit import default_catalogue
from gridtie.host.commands.size_arguments import DESCRIPTION, HELP, add_arguments
from gridtie.host.paths import CONFIG_DIR, StationError, config_dir, read_station
from gridtie.host.router_image import Mount, RouterImage

_GIVEN = Path("/run/gridtie-size")


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser("size", help=HELP, description=DESCRIPTION)
    add_arguments(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Run it in a container of the router's image, which is handed the plan as its input."""
    config = args.config or config_dir(os.environ)
    plan = _plan(args.plan)
    mounts = [Mount(_readable(config / "prices.json"), CONFIG_DIR / "prices.json")]
    words = ["-m", "gridtie.size", "-", f"--config={CONFIG_DIR}", f"--since={args.since}"]
    catalogue = args.catalogue or default_catalogue(config, Path(sys.argv[0]))
    if args.catalogue or os.access(catalogue, os.R_OK):
        inside = _GIVEN / f"models{catalogue.suffix}"
        mounts.append(Mount(_readable(catalogue), inside))
        words.append(f"--catalogue={inside}")
    if args.ledger:
        # With its directory: what was written last is in a file beside it.
        mounts.append(Mount(_readable(args.ledger).parent, _GIVEN / "ledger"))
        words.append(f"--ledger={_GIVEN / 'ledger' / args.ledger.name}")
    for number, (name, file) in enumerate(args.bench or ()):
        inside = _GIVEN / f"bench-{number}.jsonl"
        mounts.append(Mount(_readable(file), inside))
        words.append(f"--bench={name}={inside}")
    if args.developers:
        words.append(f"--developers={','.join(map(str, args.developers))}")
    ran = RouterImage(read_station(config_dir(os.environ))).run([*words, *_form(args)], mounts, stdin=plan)
    if "No module named" in ran.err:
        raise StationError("the router's image is of another gridtie, and has no `size`: run `make site`")
    sys.stderr.write(ran.err)
    sys.stdout.write(ran.out)
    return ran.status


def _form(args: Namespace) -> List[str]:
    return ["--json"] if args.json else []


def _readable(path: Path) -> Path:
    if not os.access(path, os.R_OK):
        raise StationError(f"{path} is not there or may not be read by this user; run it with sudo")
    return path.absolute()


def _plan(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StationError(f"{name} cannot be read: {error}; wanted: a file as in docs/scale.md") from None
