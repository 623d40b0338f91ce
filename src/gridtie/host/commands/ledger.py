"""`gridtie ledger`: how long rows are kept, and how those of one key are erased. The running router does it."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from typing import Any, Mapping

from gridtie.host.paths import find, home_of
from gridtie.host.router import Router

# A ledger of gigabytes is written anew in minutes.
_TIMEOUT_S = 900.0
_PATH = "/gridtie/ledger/prune"


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser("ledger", help="delete old rows of the ledger, or those of one key")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    prune = verbs.add_parser(
        "prune",
        help="delete the rows of requests that are older than a time span",
        description="Deletes rows for good, also from the ledger's copies, and gives the space back. "
        "Wants an admin key.",
    )
    prune.add_argument("--older-than", required=True, metavar="SPAN", help="such as 90d or 52w; 32d at the least")
    prune.set_defaults(run=run_prune)
    erase = verbs.add_parser(
        "erase",
        help="delete all rows of one key",
        description="Deletes rows for good, also from the ledger's copies and from what was set aside as unreadable. "
        "Revoke the key first, or new rows come. What they spent stays in the budgets' sums, without the name.",
    )
    erase.add_argument("--key", required=True, metavar="NAME", help="as `gridtie keys list` or `usage --by key` has it")
    erase.set_defaults(run=run_erase)
    for verb in (prune, erase):
        verb.add_argument("--yes", action="store_true", help="do not ask")
        verb.add_argument("--json", action="store_true", help="what was deleted, for programs")


def run_prune(args: Namespace) -> int:
    """0 also where nothing was so old."""
    return _remove(args, {"older_than": args.older_than}, f"every row older than {args.older_than}")


def run_erase(args: Namespace) -> int:
    """1 where the key has no row: it may be misspelt."""
    return _remove(args, {"key": args.key}, f'every row of the key "{args.key}"')


def _remove(args: Namespace, removal: Mapping[str, str], what: str) -> int:
    endpoint = find(os.environ, home_of(os.environ))
    if not args.yes and not _agreed(f"Delete {what} for good?"):
        return 2
    done = Router(endpoint.url, endpoint.key, _TIMEOUT_S).post(_PATH, removal)
    if args.json:
        sys.stdout.write(json.dumps(done, indent=2) + "\n")
    else:
        sys.stdout.write(text(done) + "\n")
    nothing = "key" in removal and not (done["rows"] or done["attempts"] or any(done["copies"].values()))
    if nothing:
        sys.stderr.write(
            f'gridtie: the ledger has no row of a key "{args.key}"; `gridtie usage --by key` has the names\n'
        )
    return 1 if nothing else 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        sys.stderr.write("gridtie: this deletes rows for good; say --yes where nobody can be asked\n")
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def text(done: Mapping[str, Any]) -> str:
    """What was done, for people."""
    freed = max(done["bytes_before"] - done["bytes_after"], 0) / 2**20
    lines = [
        f"{done['rows']:,} rows deleted, and {done['attempts']:,} attempts without an end; {freed:.1f} MiB given back."
    ]
    lines += [f"{name}: {rows:,} rows deleted." for name, rows in done["copies"].items()]
    if done["torn"]:
        lines.append(f"{done['torn']:,} unreadable records that had been set aside are deleted.")
    if done["space"]:
        lines.append(done["space"])
    return "\n".join(lines)
