"""`gridtie audit`: who changed keys and configuration, when and how, and what the router took up."""

from __future__ import annotations

import calendar
import json
import os
import sys
import time
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from gridtie.host import audit
from gridtie.host.key_limits import seconds
from gridtie.host.local_time import shown
from gridtie.host.paths import config_dir, state_dir
from gridtie.host.table import table

_HEAD = ("TIME", "WHO", "BY", "WHAT", "")
_OWN = frozenset(("time", "what", "uid", "user", "sudo_user", "by"))


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser(
        "audit",
        help="who changed keys and configuration, and when",
        description="Changes of keys, by the command and by the playbook; files of the configuration that the playbook "
        "changed; what the router took up of both. No key and no secret is in it. Needs sudo.",
    )
    parser.add_argument("--since", type=_span, metavar="SPAN", help="such as 24h, 7d or 4w; default: all that is kept")
    parser.add_argument("--last", type=int, metavar="N", help="so many at most, the newest")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Print what is kept, the oldest first."""
    lines, faults = _all()
    for error in faults:
        do = "run it with sudo" if isinstance(error, PermissionError) else "move it away, and see who put it there"
        sys.stderr.write(f"gridtie: {error.filename} cannot be read: {error.strerror}; {do}\n")
    if args.since:
        earliest = time.time() - args.since
        lines = [line for line in lines if _unix(line) >= earliest]
    lines = lines[-args.last :] if args.last and args.last > 0 else lines
    if args.json:
        sys.stdout.write("".join(json.dumps(line) + "\n" for line in lines))
    elif lines:
        sys.stdout.write(table(_HEAD, [_row(line) for line in lines]) + "\n")
    elif not faults:
        sys.stdout.write("Nothing was noted.\n")
    return 2 if faults else 0


def _all() -> Tuple[List[Dict[str, Any]], List[OSError]]:
    """Of both logs, in order, and why one cannot be read, which hides nothing of the other."""
    host, host_fault = _of(audit.of_host(config_dir(os.environ)))
    router, router_fault = _of(audit.of_router(state_dir(os.environ)))
    # The router's log is the router's word, also where somebody who broke into it wrote another's name.
    lines = [*host, *({**line, "by": "router"} for line in router)]
    return sorted(lines, key=_unix), [fault for fault in (host_fault, router_fault) if fault]


def _of(place: Path) -> Tuple[List[Dict[str, Any]], Optional[OSError]]:
    try:
        return audit.read(place), None
    except OSError as error:
        return [], error


def _row(line: Mapping[str, Any]) -> List[str]:
    return [shown(_unix(line)), _who(line), str(line.get("by", "")), str(line.get("what", "")), _rest(line)]


def _who(line: Mapping[str, Any]) -> str:
    user = str(line.get("user") or line.get("uid", ""))
    return f"{line['sudo_user']} as {user}" if line.get("sudo_user") else user


def _rest(line: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {_said(value)}" for name, value in line.items() if name not in _OWN and value not in ("", False)
    )


def _said(value: Any, deep: int = 3) -> str:
    if isinstance(value, (list, dict)) and not deep:
        return "..."
    if isinstance(value, list):
        return " ".join(_said(each, deep - 1) for each in value)
    if isinstance(value, dict):
        return " ".join(f"{name}={_said(each, deep - 1)}" for name, each in value.items())
    # A digest is told apart from others by its beginning.
    text = str(value)
    return text[:12] if len(text) == 64 and not set(text) - set("0123456789abcdef") else text


def _unix(line: Mapping[str, Any]) -> float:
    try:
        return float(calendar.timegm(time.strptime(str(line.get("time")), "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return 0.0


def _span(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
