"""`gridtie keys`: who may use the station. Changes /etc/gridtie/keys.json, which the router watches."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gridtie.host import keys, keys_in_force
from gridtie.host.paths import config_dir

# The routing file may know others; it is YAML, which a bare host cannot read.
USUAL = ("dev", "test", "ci", "production")


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser("keys", help="add, list and revoke keys")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    add = verbs.add_parser("add", help="make a key and print it, this once")
    add.add_argument("name", metavar="NAME", help="who or what will use it")
    add.add_argument(
        "--environment",
        action="append",
        required=True,
        metavar="NAME",
        help="an environment that its requests may be in; may be given more than once, the first is the default",
    )
    add.add_argument("--admin", action="store_true", help="may read usage and requests of all keys")
    add.set_defaults(run=run_add)
    listing = verbs.add_parser("list", help="names and rights; the keys themselves are not stored")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=run_list)
    revoke = verbs.add_parser("revoke", help="end a key")
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(run=run_revoke)


def run_add(args: Namespace) -> int:
    """Print the key alone on standard output, so that it can be piped where it belongs."""
    for name in args.environment:
        if name not in USUAL:
            sys.stderr.write(f'"{name}" is none of {", ".join(USUAL)}: llm_routing.yaml must list it\n')
    directory = config_dir(os.environ)
    try:
        key = keys.add(directory, args.name, args.environment, admin=args.admin)
    except keys.KeysError as error:
        return _fail(error)
    sys.stderr.write(f'the key "{args.name}"; it is not stored and cannot be shown again:\n')
    sys.stdout.write(key + "\n")
    sys.stdout.flush()
    return _in_force(directory)


def run_list(args: Namespace) -> int:
    """One line a key."""
    try:
        rows = keys.read(config_dir(os.environ))
    except keys.KeysError as error:
        return _fail(error)
    if args.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
        return 0
    for row in rows:
        rights = ", ".join(row.environments) + (" (admin)" if row.admin else "")
        rights += " (from the inventory)" if row.managed else ""
        sys.stdout.write(f"{row.name:<20} {row.created:<20} {rights}\n")
    return 0


def run_revoke(args: Namespace) -> int:
    """Once this has succeeded, the router refuses the key."""
    directory = config_dir(os.environ)
    try:
        keys.revoke(directory, args.name)
    except keys.KeysError as error:
        return _fail(error)
    return _in_force(directory)


def _in_force(directory: Path) -> int:
    """Whoever reads the exit status may rely on the change: a job is started with its new key at once."""
    obstacle = keys_in_force.wait(directory)
    if obstacle:
        sys.stderr.write(f"gridtie: the change is stored, but the router does not go by it yet: {obstacle}\n")
    return 1 if obstacle else 0


def _fail(error: Exception) -> int:
    sys.stderr.write(f"gridtie: {error}\n")
    return 2
