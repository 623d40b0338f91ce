"""`gridtie backup`: ledger, keys and configuration of this station as one file; and what such a file holds."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from gridtie.host.backup import make
from gridtie.host.backup.archive import Archive, BackupError, Manifest
from gridtie.host.backup.places import places_of, secret_in

from .service import StationRouter


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser(
        "backup",
        help="ledger, keys and configuration as one file",
        description="Writes one file that `gridtie restore` puts back, while the router serves. It holds secrets: the "
        "keys of clouds, the station's own key, the keys of its certificates. Models are in it by name and digest: "
        "`make site` fetches them again. Needs sudo, but on a Mac.",
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the backup; in a directory it gets a name with station and time"
    )
    parser.add_argument("--without", choices=("ledger",), help="leave it out: keys and configuration alone")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--keep", type=_count, metavar="N", help="in a directory: remove all but the newest N")
    looks = parser.add_mutually_exclusive_group()
    looks.add_argument("--list", action="store_true", help="make none: list what FILE holds")
    looks.add_argument(
        "--check", action="store_true", help="make none: read FILE to its end; exit status 1 where it is not whole"
    )
    parser.add_argument("--json", action="store_true", help="what it holds, for programs")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Make one, unless the words ask about one that is there."""
    if args.check:
        return _check(args)
    if args.list:
        with Archive(args.file) as archive:
            _tell(args, archive.manifest)
        return 0
    places = places_of(os.environ)
    # What a Mac's virtual machine has in memory of the ledger, nobody outside of it sees.
    if sys.platform == "darwin" and places.station and args.without != "ledger" and StationRouter().running():
        raise BackupError("on a Mac the ledger is copied while the router is stopped: `gridtie stop` first")
    host, target = socket.gethostname(), args.file
    if args.file.is_dir():
        target = make.dated(args.file, places.project, host, time.time())
    elif args.keep:
        raise BackupError(f"--keep is for a directory of backups, and {args.file} is none")
    manifest = make.make(places, target, host, ledger=args.without != "ledger", over=args.force)
    if args.keep:
        try:
            make.keep_newest(target, places.project, host, args.keep)
        except OSError as error:
            raise BackupError(f"{target} is made, and an older one cannot be removed: {error}") from None
    if not args.json:
        sys.stdout.write(f"{target}, {_size(target.stat().st_size)}:\n")
    _tell(args, manifest)
    return 0


def _check(args: Namespace) -> int:
    try:
        with Archive(args.file) as archive:
            for _ in archive.members():
                pass
    except BackupError as error:
        sys.stderr.write(f"gridtie: {error}\n")
        return 1
    if args.json:
        _tell(args, archive.manifest)
    else:
        sys.stdout.write(f"{args.file} is whole: {len(archive.manifest.members)} files, each with its SHA-256.\n")
    return 0


def _tell(args: Namespace, manifest: Manifest) -> None:
    sys.stdout.write(json.dumps(manifest.document(), indent=2) + "\n" if args.json else text(manifest))


def text(manifest: Manifest) -> str:
    """What a backup holds, for people."""
    count = manifest.ledger_rows
    rows = "rows not counted" if count is None else f"{count:,} row{'' if count == 1 else 's'}"
    ledger = f"{rows}, schema {manifest.ledger_schema}" if manifest.ledger_schema else "not inside"
    lines = [
        f"Station   {manifest.project} on {manifest.host}, gridtie {manifest.version}, {manifest.made}",
        f"Ledger    {ledger}",
        "Models    by name and digest, not their files:" if manifest.models else "Models    none",
        *(f"          {model['name']} {model['digest'][:19]}" for model in manifest.models),
        "Files",
    ]
    for name, member in manifest.members.items():
        secret = secret_in(name)
        lines.append(f"  {_size(member.bytes):>10}  {name}{f'   SECRET: {secret}' if secret else ''}")
    return "\n".join(lines) + "\n"


def _size(number: int) -> str:
    if number < 1000:
        return f"{number} B"
    return f"{number / 1e6:.1f} MB" if number >= 1e6 else f"{number / 1e3:.1f} kB"


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number of backups, 1 or more")
    return int(text)
