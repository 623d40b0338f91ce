"""`gridtie restore`: a backup takes the place of what is here, which is itself kept as a backup."""

from __future__ import annotations

import os
import socket
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from gridtie.host.backup.archive import BackupError
from gridtie.host.backup.places import places_of
from gridtie.host.backup.restore import STAGING, Restore, Restored, Router

from .service import StationRouter


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser(
        "restore",
        help="put ledger, keys and configuration of a backup back",
        description="Looks at the whole backup before anything is changed, stops the router, keeps what was there as a "
        "backup of its own, and starts the router again. A run that was killed is finished by the next one; without "
        "FILE it does that alone. Needs sudo, but on a Mac.",
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE", help="what `gridtie backup` wrote")
    parser.add_argument("--from-other", action="store_true", help="also a backup of a station on another machine")
    parser.add_argument(
        "--with-controller",
        action="store_true",
        help="where the playbook runs on this machine: its lock and its certificate authority are replaced, too",
    )
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """0 also where there was nothing to finish."""
    places = places_of(os.environ)
    restore = Restore(places, StationRouter() if places.station else _NoRouter(), socket.gethostname())
    try:
        done = (
            restore.finish()
            if args.file is None
            else restore.run(args.file, other=args.from_other, controller=args.with_controller)
        )
    except OSError as error:
        raise BackupError(f"{error}; the same command again goes on where this one stopped") from None
    if done is None:
        sys.stdout.write("No restore was interrupted; `gridtie restore FILE` begins one.\n")
        return 0
    sys.stdout.write(text(done, str(places.station.get("site_command") or "make site")))
    return 0


class _NoRouter(Router):
    """Where no station was made yet."""

    def running(self) -> bool:
        return False

    def stop(self) -> None:
        pass

    def start(self) -> None:
        pass


def text(done: Restored, site: str) -> str:
    """What was done, and what is to be done next."""
    what = f"{done.plan.backup}, made {done.plan.made}"
    if done.plan.stage == STAGING:
        return f"An earlier run had begun to restore {what}, and changed nothing yet: all is as it was.\n"
    lines = [f"An earlier run had begun to restore {what}: it is done now." if done.finished else f"Restored {what}."]
    if done.plan.before:
        lines.append(f"What was here before is in {done.plan.before}: the way back is to restore that.")
    lines += [f"Not put back: {each}" for each in done.kept]
    lines.append("The router serves with it." if done.plan.running else "The router was not running, and is not now.")
    lines.append(f"Next: `{site}` brings the models by their digests, and gives people on this machine their keys.")
    return "\n".join(lines) + "\n"
