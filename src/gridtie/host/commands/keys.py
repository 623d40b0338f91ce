"""`gridtie keys`: who may use the station, and how much. Changes /etc/gridtie/keys.json, which the router watches."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator, Optional, Sequence, Tuple

from gridtie.host import keys, keys_in_force
from gridtie.host.key_limits import NO_LIMITS, Limits, moment, seconds, stamp, unix
from gridtie.host.local_time import shown
from gridtie.host.paths import config_dir, state_dir

# The routing file may know others; it is YAML, which a bare host cannot read.
USUAL = ("dev", "test", "ci", "production")
_ANY = "any"
# As gridtie.ledger.postgres writes it.
HANDED_OVER = "keys-handed-over.json"
_OTHERS = (
    "These are the keys of this machine. Its router shares them with others by PostgreSQL: what was made on another "
    "machine is good here too, and is listed and changed there; all of them are in the database "
    "(SELECT name, entry FROM gridtie.keys)\n"
)
_LISTED = "as `gridtie keys list` has it"


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser("keys", help="add, limit, list, rotate and revoke keys")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    add = verbs.add_parser(
        "add",
        help="make a key and print it, this once",
        description="Limits hold over all of the key's requests together. Money is what clouds cost; what the station "
        "answers itself costs none. What a key may not, its holder is told by the router, with the limit and who can "
        "change it.",
    )
    add.add_argument("name", metavar="NAME", help="who or what will use it")
    add.add_argument("--admin", action="store_true", help="may read usage and requests of all keys")
    _rights(add, required=True)
    add.set_defaults(run=run_add)
    edit = verbs.add_parser(
        "edit",
        help="change what a key may; the key itself stays",
        description="What is given takes the place of what was, the rest stays. `none` takes a limit away, "
        f"`--model {_ANY}` and `--origin none` all of them.",
    )
    edit.add_argument("name", metavar="NAME", help=_LISTED)
    _rights(edit, required=False)
    edit.set_defaults(run=run_edit)
    listing = verbs.add_parser("list", help="names, rights and limits; the keys themselves are not stored")
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.set_defaults(run=run_list)
    rotate = verbs.add_parser("rotate", help="make a new key under the same name and print it; the old one ends later")
    rotate.add_argument("name", metavar="NAME", help=_LISTED)
    rotate.add_argument(
        "--overlap",
        type=_span,
        default=24 * 3600.0,
        metavar="SPAN",
        help="how long the old one works beside it, such as 90m, 24h or 7d; 0 ends it at once; default: 24h",
    )
    rotate.set_defaults(run=run_rotate)
    revoke = verbs.add_parser("revoke", help="end a key")
    revoke.add_argument("name", metavar="NAME", help=_LISTED)
    revoke.set_defaults(run=run_revoke)


def _rights(parser: ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--environment",
        action="append",
        required=required,
        metavar="NAME",
        help="an environment that its requests may be in; may be given more than once, the first is the default",
    )
    parser.add_argument("--requests-per-minute", type=_count, metavar="N", help="that have a prompt")
    parser.add_argument("--tokens-per-minute", type=_count, metavar="N", help="of prompts and answers together")
    parser.add_argument("--usd-per-day", type=_amount, metavar="USD", help="for clouds, in a day of UTC")
    parser.add_argument("--usd-per-month", type=_amount, metavar="USD", help="for clouds, in a month of UTC")
    parser.add_argument(
        "--model",
        action="append",
        metavar="ALIAS",
        help="a name that it may ask for, and no other; may be given more than once",
    )
    parser.add_argument(
        "--expires",
        type=_end,
        metavar="TIME",
        help="30d (from now), 2026-12-31 (to its end), 2026-12-31T14:00Z, or never",
    )
    parser.add_argument(
        "--origin",
        action="append",
        metavar="ORIGIN",
        help="of a page or an application that may ask, such as app://obsidian.md; may be given more than once",
    )


def run_add(args: Namespace) -> int:
    """Print the key alone on standard output, so that it can be piped where it belongs."""
    _unusual(args.environment)
    directory = config_dir(os.environ)
    try:
        key = keys.add(
            directory,
            args.name,
            args.environment,
            admin=args.admin,
            expires=args.expires or "",
            limits=_limits(args, NO_LIMITS),
            origins=_pages(args.origin, ()),
        )
    except keys.KeysError as error:
        return _fail(error)
    _print_once(args.name, key)
    return _in_force(directory)


def run_edit(args: Namespace) -> int:
    """Say what the key may now."""
    _unusual(args.environment or ())
    directory = config_dir(os.environ)

    def change(row: keys.KeyRow) -> keys.KeyRow:
        return replace(
            row,
            environments=tuple(dict.fromkeys(args.environment or row.environments)),
            expires=row.expires if args.expires is None else args.expires,
            limits=_limits(args, row.limits),
            origins=_pages(args.origin, row.origins),
        )

    try:
        row = keys.edit(directory, args.name, change)
    except keys.KeysError as error:
        return _fail(error)
    sys.stdout.write(_listed([row]))
    if row.managed:
        sys.stderr.write(
            f'"{row.name}" is from the inventory: `limits` and `until` that stand there (gridtie_people) are back with '
            "the next run of the playbook\n"
        )
    return _in_force(directory)


def run_list(args: Namespace) -> int:
    """One line a key."""
    try:
        rows = keys.read(config_dir(os.environ))
    except keys.KeysError as error:
        return _fail(error)
    if args.json:
        sys.stdout.write(json.dumps([row.document() for row in rows], indent=2) + "\n")
    else:
        sys.stdout.write(_listed(rows))
    if _shares():
        sys.stderr.write(_OTHERS)
    return 0


def _shares() -> bool:
    """Whether the router hands keys over to a database, by the note that it keeps of that beside its ledger."""
    try:
        return (state_dir(os.environ) / "ledger" / HANDED_OVER).exists()
    except OSError:  # whoever may not look there may not read keys.json either
        return False


def run_rotate(args: Namespace) -> int:
    """Print the new key alone on standard output; the old one goes on for a while."""
    directory = config_dir(os.environ)
    try:
        key, until = keys.rotate(directory, args.name, args.overlap, time.time())
    except keys.KeysError as error:
        return _fail(error)
    sys.stderr.write(f"the old key works until {_shown(until)}\n" if args.overlap else "the old key has ended\n")
    _print_once(args.name, key)
    return _in_force(directory)


def run_revoke(args: Namespace) -> int:
    """Once this has succeeded, the router refuses the key."""
    directory = config_dir(os.environ)
    try:
        keys.revoke(directory, args.name)
    except keys.KeysError as error:
        return _fail(error)
    return _in_force(directory)


def _limits(args: Namespace, before: Limits) -> Limits:
    """What was given, in the place of what was."""
    names = ("requests_per_minute", "tokens_per_minute", "usd_per_day", "usd_per_month")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.model is not None:
        given["models"] = () if args.model == [_ANY] else tuple(dict.fromkeys(args.model))
    return replace(before, **given)


def _pages(given: Optional[Sequence[str]], before: Sequence[str]) -> Tuple[str, ...]:
    if given is None:
        return tuple(before)
    return () if given == ["none"] else tuple(dict.fromkeys(given))


def _unusual(environments: Sequence[str]) -> None:
    for name in environments:
        if name not in USUAL:
            sys.stderr.write(f'"{name}" is none of {", ".join(USUAL)}: llm_routing.yaml must list it\n')


def _print_once(name: str, key: str) -> None:
    sys.stderr.write(f'the key "{name}"; it is not stored and cannot be shown again:\n')
    sys.stdout.write(key + "\n")
    sys.stdout.flush()


def _listed(rows: Sequence[keys.KeyRow]) -> str:
    now, width = time.time(), max([20, *(len(row.name) for row in rows)])
    return "".join(f"{row.name:<{width}} {row.created:<20} {'; '.join(_about(row, now))}\n" for row in rows)


def _about(row: keys.KeyRow, now: float) -> Iterator[str]:
    rights = ", ".join(row.environments) + (" (admin)" if row.admin else "")
    yield rights + (" (from the inventory)" if row.managed else "")
    if row.limits.words():
        yield row.limits.words()
    if row.expires:
        yield f"{'ended' if keys.expired(row, now) else 'ends'} {_shown(row.expires)}"
    for until in (min(each, row.expires or each) for _, each in row.previous):
        yield f"the key before it {'works until' if until > stamp(now) else 'ended'} {_shown(until)}"
    if row.origins:
        yield f"pages of {', '.join(row.origins)}"


def _shown(moment_utc: str) -> str:
    """As this machine's clock shows it."""
    try:
        return shown(unix(moment_utc))
    except ValueError:
        return moment_utc


def _count(text: str) -> int:
    return int(_number(text, int))


def _amount(text: str) -> float:
    return float(_number(text, float))


def _number(text: str, kind: Any) -> Any:
    """0 for `none`. A limit of nothing would be no limit, as 0 is stored."""
    if text == "none":
        return 0
    try:
        number = kind(text)
        if 0 < number < 1e12:
            return number
    except ValueError:
        pass
    what = "a whole number" if kind is int else "an amount"
    raise ArgumentTypeError(
        f"{text[:40]!r} found; wanted {what} above 0, or none. To shut a key out: keys revoke, or an environment whose "
        "rules never use a cloud"
    )


def _span(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _end(text: str) -> str:
    try:
        return moment(text, time.time())
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _in_force(directory: Path) -> int:
    """Whoever reads the exit status may rely on the change: a job is started with its new key at once."""
    obstacle = keys_in_force.wait(directory)
    if obstacle:
        sys.stderr.write(f"gridtie: the change is stored, but the router does not go by it yet: {obstacle}\n")
    return 1 if obstacle else 0


def _fail(error: Exception) -> int:
    sys.stderr.write(f"gridtie: {error}\n")
    return 2
